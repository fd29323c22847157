import { Badge } from "../../components/basics";
import { Changes, subjectOf } from "../../components/changes";
import { Action } from "../../gen/tidegate/control/v1/audit_pb";
import type { PromoteEnvironmentResponse } from "../../gen/tidegate/control/v1/environment_service_pb";
import { kindName } from "../../lib/entry-words";

const words: Partial<Record<Action, string>> = {
  [Action.CREATED]: "new",
  [Action.DELETED]: "deleted",
  [Action.UPDATED]: "changed",
};

export type Planned = Pick<PromoteEnvironmentResponse, "created" | "updated" | "deleted" | "results">;

export function planWords(plan: Planned): string {
  return `${plan.created} new, ${plan.updated} changed, ${plan.deleted} deleted`;
}

// What a promotion or a restoration would change.
export function Plan({ plan }: { plan: Planned }) {
  const differing = plan.results.filter((r) => r.action !== Action.UNSPECIFIED);
  if (differing.length === 0) return <p className="soft">Nothing differs.</p>;
  return (
    <div className="stack tight">
      <p>{planWords(plan)}.</p>
      <div className="stack tight promotion-list">
        {differing.map((r) => (
          <details key={`${r.kind}/${r.key}`}>
            <summary>
              <span className="soft">{kindName(r.kind)}</span> <strong>{r.key}</strong>{" "}
              <Badge tone={r.action === Action.DELETED ? "bad" : undefined}>{words[r.action] ?? "changed"}</Badge>
            </summary>
            <Changes changes={r.changes} subject={subjectOf(r.kind)} none="Too much to be shown." />
          </details>
        ))}
      </div>
    </div>
  );
}
