import { Trash2 } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { flags } from "../../api/transport";
import { useLive } from "../../api/use-live";
import { Button, Note } from "../../components/basics";
import { ChangeDialog } from "../../components/change-dialog";
import type { Version } from "../../components/draft";
import { ResourceKind } from "../../gen/tidegate/control/v1/audit_pb";
import type { FlagActivity } from "../../gen/tidegate/control/v1/watch_service_pb";
import type { FlagSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import { count } from "../../lib/numbers";

// The way to delete a flag, with what stands in it.
export function DeleteFlag({
  environment,
  version,
  activity,
  onDeleted,
}: {
  environment: string;
  version: Version<typeof FlagSchema>;
  activity: FlagActivity | undefined;
  onDeleted: () => void;
}) {
  const { key } = version.message;
  const [asking, setAsking] = useState(false);
  const [force, setForce] = useState(false);
  const all = useLive((l) => l.flags);
  const needers = [...all.values()].filter((f) => f.prerequisites.includes(key)).map((f) => f.key);
  const rollouts = all.get(key)?.rollouts ?? [];
  const evaluated = (activity?.evaluations ?? []).reduce(
    (sum, e) => sum + e.counts.reduce((a, b) => a + Number(b), 0),
    0,
  );
  const blocked = needers.length > 0 || rollouts.length > 0;
  const link = (kind: string) => (k: string) => (
    <Link key={k} className="mono" href={`/${environment}/${kind}/${k}`}>
      {k}
    </Link>
  );

  return (
    <div className="stack tight">
      <p className="soft">
        Callers get their own default from then on. First remove the flag from the code: <code>tidegate refs scan</code>{" "}
        finds it. Its history stays, and it can be brought back from there.
      </p>
      {needers.length > 0 && (
        <Note tone="warn">
          <span>These flags need it. Take it out of their prerequisites first:</span>
          <span className="row">{needers.map(link("flags"))}</span>
        </Note>
      )}
      {rollouts.length > 0 && (
        <Note tone="warn">
          <span>A rollout moves it. Abort that first:</span>
          <span className="row">{rollouts.map(link("rollouts"))}</span>
        </Note>
      )}
      <div>
        <Button
          disabled={blocked}
          title={blocked ? "Something needs it" : undefined}
          onClick={() => {
            setForce(false);
            setAsking(true);
          }}
        >
          <Trash2 size={15} aria-hidden /> Delete the flag…
        </Button>
      </div>
      {asking && (
        <ChangeDialog
          title={`Delete ${key} from ${environment}`}
          environment={environment}
          label={force ? "Delete all the same" : "Delete"}
          danger
          done={`${key} is deleted from ${environment}`}
          run={async (reason, requestId) => {
            const r = await flags.deleteFlag({
              environment,
              flagKey: key,
              baseRevision: version.revision,
              reason,
              requestId,
              force,
            });
            return { revision: r.entry?.revision };
          }}
          proposal={() => ({
            deletes: [{ kind: ResourceKind.FLAG, key, baseRevision: version.revision, force }],
          })}
          onClose={() => setAsking(false)}
          onDone={onDeleted}
        >
          {evaluated > 0 && (
            <>
              <Note tone="bad">
                <strong>It is in use: {count(evaluated)} evaluations in the last hour.</strong>
                <span>Whoever evaluates it gets the default that is written in their code.</span>
              </Note>
              <label className="check">
                <input type="checkbox" checked={force} onChange={(e) => setForce(e.target.checked)} />
                Delete it all the same
              </label>
            </>
          )}
          {evaluated === 0 && <p>No relay has told of an evaluation in the last hour.</p>}
        </ChangeDialog>
      )}
    </div>
  );
}
