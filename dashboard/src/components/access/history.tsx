import { useQuery } from "@tanstack/react-query";
import { instead } from "../../api/errors";
import { type AuditEntry, ResourceKind } from "../../gen/tidegate/control/v1/audit_pb";
import { actionName } from "../../lib/entry-words";
import { dateOf } from "../../lib/time";
import { Ago, Loading } from "../basics";
import { Diff } from "../diff";
import { ProblemNote } from "../problem";

// What happened to a person, a key, or settings: who, why, what.
export function AccessHistory({
  queryKey,
  fetch,
}: {
  queryKey: unknown[];
  fetch: () => Promise<{ entries: AuditEntry[] }>;
}) {
  const query = useQuery({ queryKey, queryFn: fetch });
  const failure = instead(query);
  if (failure) return <ProblemNote failure={failure} again={() => void query.refetch()} />;
  if (!query.data) return <Loading rows={3} label="Loading the history" />;
  return (
    <ol className="access-history">
      {query.data.entries.map((e) => (
        <li key={`${e.environment}/${e.sequence}`} className="stack tight">
          <div className="row tight">
            <strong>{e.actor || "somebody unnamed"}</strong> {actionName(e.action)}
            {e.environment && e.kind !== ResourceKind.ENVIRONMENT && (
              <span className="soft small">{e.environment}</span>
            )}
            <span className="soft small">
              <Ago at={dateOf(e.time)} />
            </span>
          </div>
          {e.reason && <p className="soft">{e.reason}</p>}
          {e.changes.length > 0 && (
            <details>
              <summary className="small">
                {e.changes
                  .slice(0, 3)
                  .map((c) => c.path)
                  .join(", ")}
                {e.changes.length > 3 && ` and ${e.changes.length - 3} more`}
              </summary>
              <Diff changes={e.changes} />
            </details>
          )}
        </li>
      ))}
    </ol>
  );
}
