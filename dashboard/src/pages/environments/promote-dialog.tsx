import "../../styles/rules.css";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { environments } from "../../api/transport";
import { Ago, Field, Input, Loading, Note, Select } from "../../components/basics";
import { ChangeDialog } from "../../components/change-dialog";
import { ProblemNote } from "../../components/problem";
import type { PromoteEnvironmentResponse } from "../../gen/tidegate/control/v1/environment_service_pb";
import { kindName } from "../../lib/entry-words";
import { plural } from "../../lib/numbers";
import { dateOf } from "../../lib/time";
import { Plan } from "./plan";
import { promotionDone, promotionProposal } from "./promotion";

// Makes flags and segments of one environment what they are in another, after a look at all of it.
export function PromoteDialog({
  names,
  from: firstFrom,
  to: firstTo,
  onClose,
}: {
  names: string[];
  from: string;
  to: string;
  onClose: () => void;
}) {
  const [from, setFrom] = useState(firstFrom);
  const [to, setTo] = useState(firstTo);
  const [keys, setKeys] = useState("");
  const [includeEnabled, setEnabled] = useState(false);
  const [deleteMissing, setDelete] = useState(false);
  const [overwriteDrift, setOverwrite] = useState(false);
  const queries = useQueryClient();
  const list = keys.split(/[\s,]+/).filter(Boolean);
  const asked = {
    fromEnvironment: from,
    toEnvironment: to,
    keys: list,
    includeNeeded: list.length > 0,
    includeEnabled,
    deleteMissing,
  };
  const chosen = from !== "" && to !== "" && from !== to;
  const preview = useQuery({
    queryKey: ["promotion", asked],
    queryFn: () => environments.promoteEnvironment({ ...asked, overwriteDrift: true, validateOnly: true }),
    enabled: chosen,
    staleTime: 0,
  });
  // What is shown: only that is done.
  const seen = preview.error ? undefined : preview.data;
  const drifts = seen?.drifts ?? [];
  return (
    <ChangeDialog
      title={chosen ? `Promote ${from} to ${to}` : "Promote"}
      environment={to || from || (names[0] ?? "")}
      wide
      label={drifts.length > 0 && overwriteDrift ? "Promote, and overwrite" : "Promote"}
      done={seen ? promotionDone(seen, from, to) : ""}
      unseen={!seen}
      run={async (reason, requestId) => {
        if (!chosen) throw new Error("First choose from where to where.");
        const r = await environments.promoteEnvironment({
          ...asked,
          overwriteDrift,
          baseRevision: seen?.currentRevision,
          reason,
          requestId,
        });
        return { revision: r.revision || undefined };
      }}
      proposal={async () => {
        if (drifts.length > 0 && !overwriteDrift)
          throw new Error(`First say that what was changed in ${to} itself is to be overwritten.`);
        return promotionProposal(seen?.results ?? [], { from, to, includeEnabled });
      }}
      onDone={() => void queries.invalidateQueries({ queryKey: ["compare"] })}
      onClose={onClose}
    >
      <div className="pair">
        <Choice label="From" value={from} set={setFrom} names={names} />
        <Choice label="To" value={to} set={setTo} names={names} />
      </div>
      <Field label="Only these keys (optional)" hint="With what they need. Empty: all that differ.">
        {(ids) => (
          <Input {...ids} className="mono" spellCheck={false} value={keys} onChange={(e) => setKeys(e.target.value)} />
        )}
      </Field>
      <div className="stack tight">
        <label className="check">
          <input type="checkbox" checked={includeEnabled} onChange={(e) => setEnabled(e.target.checked)} />
          Also whether each flag is on
        </label>
        <label className="check">
          <input type="checkbox" checked={deleteMissing} onChange={(e) => setDelete(e.target.checked)} />
          {chosen ? `Delete in ${to} what is not in ${from}` : "Delete what is not there in the first"}
        </label>
      </div>
      {!chosen ? (
        <Note>
          <span>Choose from where to where: what the second has becomes what the first has.</span>
        </Note>
      ) : preview.error ? (
        <ProblemNote failure={preview.error} again={() => void preview.refetch()} />
      ) : seen ? (
        <Preview answer={seen} to={to} />
      ) : (
        <Loading rows={4} label="Working it out" />
      )}
      {drifts.length > 0 && (
        <label className="check">
          <input type="checkbox" checked={overwriteDrift} onChange={(e) => setOverwrite(e.target.checked)} />
          Overwrite {plural(drifts.length, "change")} that were made in {to} itself
        </label>
      )}
    </ChangeDialog>
  );
}

function Choice(props: { label: string; value: string; set: (v: string) => void; names: string[] }) {
  return (
    <Field label={props.label}>
      {(ids) => (
        <Select {...ids} value={props.value} onChange={(e) => props.set(e.target.value)}>
          {props.value === "" && <option value="">Choose one</option>}
          {props.names.map((n) => (
            <option key={n}>{n}</option>
          ))}
        </Select>
      )}
    </Field>
  );
}

function Preview({ answer, to }: { answer: PromoteEnvironmentResponse; to: string }) {
  return (
    <>
      <Plan plan={answer} />
      {answer.drifts.length > 0 && (
        <Note tone="warn">
          <strong>
            {plural(answer.drifts.length, "thing was", "things were")} changed in {to} itself, and would be lost
          </strong>
          {answer.drifts.slice(0, 20).map((d) => (
            <span key={`${d.kind}/${d.key}`}>
              {kindName(d.kind)} {d.key}: {d.latest?.actor}, <Ago at={dateOf(d.latest?.time)} />, “{d.latest?.reason}”
            </span>
          ))}
        </Note>
      )}
    </>
  );
}
