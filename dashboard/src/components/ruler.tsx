import "./ruler.css";
import type { CSSProperties } from "react";
import { Link } from "wouter";
import { useEnvironment } from "../api/use-environment";
import type { SplitExplanation } from "../gen/tidegate/control/v1/explanation_pb";
import { seriesColor } from "../lib/flag-words";
import { percent } from "../lib/numbers";
import { valueText } from "../lib/values";

// Where somebody falls in a split: a place on a ruler that is divided among the variants.
export function Ruler({ split }: { split: SplitExplanation }) {
  const environment = useEnvironment();
  const total = Number(split.total);
  if (!split.value || total === 0)
    return (
      <p className="problem small">
        The context has no <code>{split.bucketBy || "targetingKey"}</code> that can be hashed: the split serves nobody
        without.
      </p>
    );
  const at = Number(split.bucket) / total;
  return (
    <div className="ruler">
      <p className="small">
        {split.salt && (
          <>
            <code>{split.salt}</code> and{" "}
          </>
        )}
        <code>{String(JSON.parse(valueText(split.value)))}</code> {split.salt ? "hash" : "hashes"} to{" "}
        <span className="num">{split.bucket.toString()}</span> of <span className="num">{split.total.toString()}</span>:
        at {percent(at)}, in the part of <code className="name">{split.variant}</code>.
      </p>
      <div className="scale" aria-hidden>
        {split.ranges.map((r, i) => (
          <span
            key={r.variant}
            className={r.variant === split.variant ? "hit" : ""}
            style={{ width: `${(Number(r.end - r.from) / total) * 100}%`, "--part": seriesColor(i) } as CSSProperties}
          >
            {r.variant}
          </span>
        ))}
        <i style={{ left: `${at * 100}%` }} />
      </div>
      <p className="small soft">
        {split.ranges
          .map((r) => `${r.variant}: ${percent(Number(r.from) / total)} to ${percent(Number(r.end) / total)}`)
          .join(" · ")}
        {split.rolloutKey && (
          <>
            {" · moved by the rollout "}
            <Link href={`/${environment}/rollouts/${split.rolloutKey}`}>{split.rolloutKey}</Link>
          </>
        )}
      </p>
    </div>
  );
}
