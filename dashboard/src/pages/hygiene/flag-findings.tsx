import { Link } from "wouter";
import { Ago, Badge, Button, Unknown } from "../../components/basics";
import type { FlagActivity } from "../../gen/tidegate/control/v1/watch_service_pb";
import { FlagKind } from "../../gen/tidegate/flag/v1/flag_pb";
import { kindWords } from "../../lib/flag-words";
import { dateOf } from "../../lib/time";
import { type Found, type Problem, problemAdvice, problemNames, told } from "./findings";

const tones: Partial<Record<Problem, "bad" | "warn">> = {
  unusable: "bad",
  expired: "warn",
  unused: "warn",
  constant: "warn",
  policy: "warn",
};

const kept = new Set([FlagKind.OPERATIONAL, FlagKind.PERMISSION]);

// A flag of which there is something to say: what, why, and what to do.
export function FlagFindings({
  found,
  activity,
  environment,
  onKeep,
}: {
  found: Found;
  activity: FlagActivity | undefined;
  environment: string;
  // Undefined: one may not.
  onKeep?: (flagKey: string) => void;
}) {
  const { flag, findings } = found;
  const to = `/${environment}/flags/${encodeURIComponent(flag.key)}`;
  const first = findings[0];
  const keepable =
    onKeep &&
    flag.rollouts.length + flag.hiddenRollouts === 0 &&
    findings.some((f) => f.problem === "expired" || (f.problem === "constant" && !kept.has(flag.kind)));
  return (
    <li className="found">
      <div className="what">
        <div className="row tight">
          <Link className="name" href={to}>
            {flag.key}
          </Link>
          {findings.map((f) => (
            <Badge key={f.problem} tone={tones[f.problem]} title={f.text}>
              {problemNames[f.problem]}
            </Badge>
          ))}
        </div>
        <ul className="small soft">
          {told(found).map((f) => (
            <li key={f.problem}>{f.text}</li>
          ))}
        </ul>
        {first && <p className="small advice">{problemAdvice[first.problem]}</p>}
      </div>
      <dl className="small facts">
        <dt>Evaluated</dt>
        <dd>{activity ? <Ago at={dateOf(activity.lastEvaluatedAt)} /> : <Unknown />}</dd>
        <dt>Changed</dt>
        <dd>{activity ? <Ago at={dateOf(activity.updatedAt)} /> : <Unknown />}</dd>
        <dt>Kind</dt>
        <dd>{kindWords[flag.kind] || <span className="faint">none</span>}</dd>
      </dl>
      <div className="row actions">
        {keepable && (
          <Button small onClick={() => onKeep(flag.key)} aria-label={`It stays: ${flag.key}`}>
            It stays
          </Button>
        )}
        <Link className="button small" href={to} aria-label={`Open ${flag.key}, to change or delete it`}>
          Open
        </Link>
      </div>
    </li>
  );
}
