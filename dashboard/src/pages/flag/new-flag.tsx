import "../../styles/editor.css";
import "./flag.css";
import "../../styles/rules.css";
import { useMemo, useState } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { flags } from "../../api/transport";
import { useEnvironment, useSettings } from "../../api/use-environment";
import { useLive } from "../../api/use-live";
import { useRefusal } from "../../api/use-write";
import { Button, Card, Field, Input, Loading, Note, Select, TextArea } from "../../components/basics";
import { ChangeDialog } from "../../components/change-dialog";
import { LeaveDialog } from "../../components/leave-dialog";
import { PageHead } from "../../components/page";
import { Words } from "../../components/words";
import { type Flag, FlagKind } from "../../gen/tidegate/flag/v1/flag_pb";
import { withoutAsking } from "../../lib/address";
import { explainFlag } from "../../lib/explain-flag";
import { kindMeaning, kindWords } from "../../lib/flag-words";
import { fromTemplate, keyProblem, policyWords, templates } from "../../lib/templates";

// A flag begins as one of a few things that flags are made for.
export default function NewFlag() {
  const environment = useEnvironment();
  const refusal = useRefusal(environment);
  const [location, navigate] = useLocation();
  const search = new URLSearchParams(useSearch());
  const settings = useSettings(environment);
  const policy = settings.data?.settings?.flagPolicy;
  const existing = useLive((l) => l.flags);
  const [template, setTemplate] = useState(templates.find((t) => t.id === search.get("from")) ?? templates[0]);
  const [key, setKey] = useState(search.get("key") ?? "");
  const [description, setDescription] = useState("");
  const [owner, setOwner] = useState("");
  const [kind, setKind] = useState<FlagKind>();
  const [creating, setCreating] = useState<Flag>();
  const owners = useMemo(
    () => [...new Set([...existing.values()].map((f) => f.owner))].filter(Boolean).sort(),
    [existing],
  );
  const problem = keyProblem(key, policy, existing.has(key));
  const flag = template && fromTemplate(template, { key, description, owner });
  if (flag && kind !== undefined) flag.kind = kind;
  const missing = policy?.requireOwner && owner.trim() === "" ? "This environment wants an owner." : undefined;
  const entered = key !== (search.get("key") ?? "") || description !== "" || owner !== "";
  const no = refusal(...(key ? [key] : []));
  const ready = key !== "" && !problem && !missing && !no;

  return (
    <div className="page">
      <PageHead
        title="New flag"
        tab={`New flag · ${environment}`}
        above={
          <div className="small">
            <Link href={`/${environment}/flags`}>Flags</Link>
          </div>
        }
      >
        In {environment}. Nothing is served differently until code asks for it.
      </PageHead>
      {settings.isPending ? (
        <Loading rows={8} />
      ) : (
        <form
          className="stack narrow"
          onSubmit={(e) => {
            e.preventDefault();
            if (ready && flag) setCreating(flag);
          }}
        >
          <fieldset className="templates">
            <legend className="label">What is it for?</legend>
            {templates.map((t) => (
              <label key={t.id} className={`template ${t === template ? "chosen" : ""}`}>
                <input
                  type="radio"
                  name="template"
                  checked={t === template}
                  onChange={() => {
                    setTemplate(t);
                    setKind(undefined);
                  }}
                />
                <span>
                  <strong>{t.name}</strong>
                  <span className="soft small block">{t.purpose}</span>
                </span>
              </label>
            ))}
          </fieldset>
          <Card title="What is it called?">
            <div className="stack">
              {policy && policyWords(policy).length > 0 && (
                <Note>
                  {policyWords(policy).map((w) => (
                    <span key={w}>{w}</span>
                  ))}
                </Note>
              )}
              <Field
                label="Key"
                hint="What code asks for. It stays as it is for as long as the flag is there."
                problem={problem}
              >
                {(ids) => (
                  <Input
                    {...ids}
                    className="mono"
                    autoFocus
                    required
                    spellCheck={false}
                    autoComplete="off"
                    placeholder={`${policy?.keyPrefixes[0] ?? ""}new-checkout`}
                    value={key}
                    onChange={(e) => setKey(e.target.value)}
                  />
                )}
              </Field>
              <Field label="Description" hint="What it switches, for whoever meets it in a year.">
                {(ids) => (
                  <TextArea {...ids} rows={2} value={description} onChange={(e) => setDescription(e.target.value)} />
                )}
              </Field>
              <div className="pair">
                <Field label="Owner" hint={missing ?? "The team or person to ask."}>
                  {(ids) => (
                    <>
                      <Input
                        {...ids}
                        list="owners"
                        required={policy?.requireOwner}
                        value={owner}
                        onChange={(e) => setOwner(e.target.value)}
                      />
                      <datalist id="owners">
                        {owners.map((o) => (
                          <option key={o} value={o} />
                        ))}
                      </datalist>
                    </>
                  )}
                </Field>
                <Field label="Kind" hint={kindMeaning[flag?.kind ?? FlagKind.UNSPECIFIED]}>
                  {(ids) => (
                    <Select {...ids} value={flag?.kind} onChange={(e) => setKind(Number(e.target.value))}>
                      {[FlagKind.RELEASE, FlagKind.EXPERIMENT, FlagKind.OPERATIONAL, FlagKind.PERMISSION].map((k) => (
                        <option key={k} value={k}>
                          {kindWords[k]}
                        </option>
                      ))}
                    </Select>
                  )}
                </Field>
              </div>
            </div>
          </Card>
          {flag && (
            <p className="serves">
              <Words words={explainFlag(flag)} />
              {!flag.enabled && (
                <>
                  {" "}
                  <span className="soft">Once it is on: </span>
                  <Words words={explainFlag({ ...flag, enabled: true })} />
                </>
              )}
            </p>
          )}
          <div className="row">
            <Button type="submit" kind="primary" disabled={!ready} title={no}>
              Create…
            </Button>
            <Link className="button" href={`/${environment}/flags`}>
              Cancel
            </Link>
            {no && <span className="small soft">{no}.</span>}
          </div>
        </form>
      )}
      {creating && (
        <ChangeDialog
          title={`Create ${key} in ${environment}`}
          environment={environment}
          label="Create"
          done={`${key} is created`}
          run={async (reason, requestId) => {
            const { flag: made } = await flags.createFlag({ environment, flag: creating, reason, requestId });
            return { revision: made?.revision };
          }}
          proposal={() => ({ flags: [{ flag: creating, baseRevision: 0n }] })}
          onProposed={() => withoutAsking(() => navigate(`/${environment}/requests`))}
          onClose={() => setCreating(undefined)}
          onDone={() => withoutAsking(() => navigate(`/${environment}/flags/${key}`))}
        >
          <p>
            <Words words={explainFlag(creating)} />
          </p>
        </ChangeDialog>
      )}
      {entered && <LeaveDialog what="The new flag" stay={location} />}
    </div>
  );
}
