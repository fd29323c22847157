import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { problemOf } from "../../api/errors";
import { environments } from "../../api/transport";
import { Field, Input, Loading, Note } from "../../components/basics";
import { ChangeDialog } from "../../components/change-dialog";
import { ProblemNote } from "../../components/problem";
import { localText, readLocal } from "../../components/proposal";
import { byNothing } from "../../lib/freeze-words";
import { zone, zoned } from "../../lib/time";
import { Plan } from "./plan";

// Makes all flags and segments what they were at a time, after a look at what that changes.
export function RestoreDialog({ environment, onClose }: { environment: string; onClose: () => void }) {
  const [when, setWhen] = useState(() => localText(new Date(Date.now() - 3_600_000)));
  const [abortRollouts, setAbort] = useState(false);
  const at = readLocal(when);
  const preview = useQuery({
    queryKey: ["restoration", environment, when],
    queryFn: () =>
      environments.restoreEnvironment({ environment, time: at && timestampFromDate(at), validateOnly: true }),
    enabled: at !== undefined,
    staleTime: 0,
  });
  const seen = preview.error ? undefined : preview.data;
  const inTheWay = seen?.rollouts ?? [];
  return (
    <ChangeDialog
      title={`Restore ${environment} to an earlier time`}
      environment={environment}
      wide
      danger
      refusedBy={byNothing}
      label="Restore"
      done={`${environment} is as it was`}
      unseen={!seen}
      run={async (reason, requestId) => {
        const r = await environments.restoreEnvironment({
          environment,
          revision: seen?.restoredRevision,
          baseRevision: seen?.currentRevision,
          abortRollouts,
          reason,
          requestId,
        });
        return { revision: r.revision || undefined };
      }}
      onClose={onClose}
    >
      <Field
        label="As it was at"
        hint={`By your clock (${zone(at ?? new Date())}). Keys, rollouts and settings stay as they are.`}
      >
        {(ids) => <Input {...ids} type="datetime-local" value={when} onChange={(e) => setWhen(e.target.value)} />}
      </Field>
      {preview.error && at && problemOf(preview.error).code === Code.NotFound ? (
        <Note>
          <span>
            The trail of {environment} begins after {zoned(at)}: what it was then is not known. Choose a later time.
          </span>
        </Note>
      ) : preview.error ? (
        <ProblemNote failure={preview.error} again={() => void preview.refetch()} />
      ) : seen ? (
        <Plan plan={seen} />
      ) : (
        <Loading rows={3} label="Working it out" />
      )}
      {inTheWay.length > 0 && (
        <>
          <Note tone="warn">
            <strong>These rollouts own what would change: {inTheWay.join(", ")}</strong>
          </Note>
          <label className="check">
            <input type="checkbox" checked={abortRollouts} onChange={(e) => setAbort(e.target.checked)} />
            Abort them first
          </label>
        </>
      )}
    </ChangeDialog>
  );
}
