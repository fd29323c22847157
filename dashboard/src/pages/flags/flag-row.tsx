import { AlertTriangle } from "lucide-react";
import { memo } from "react";
import { Link } from "wouter";
import { useLive } from "../../api/use-live";
import { Ago, Badge, Switch, Unknown } from "../../components/basics";
import { ShareBar, Sparkline } from "../../components/sparkline";
import type { FlagActivity, FlagSummary } from "../../gen/tidegate/control/v1/watch_service_pb";
import { kindWords, served, servesWords } from "../../lib/flag-words";
import { share } from "../../lib/rollout-words";
import { dateOf } from "../../lib/time";

// The rollout that moves the flag, and how far it is; of a flag that is off it serves nobody.
function RunningRollout(props: { rolloutKey: string; on: boolean; environment: string }) {
  const { rolloutKey, on, environment } = props;
  const rollout = useLive((l) => l.rollouts.get(rolloutKey));
  const weight = rollout?.status?.weight;
  return (
    <Link
      className="badge accent"
      href={`/${environment}/rollouts/${encodeURIComponent(rolloutKey)}`}
      title={`${rolloutKey}${rollout ? ` brings ${rollout.treatment}` : ""}`}
    >
      rollout{weight === undefined ? "" : on ? ` ${share(weight)}` : " waits"}
    </Link>
  );
}

export const FlagRow = memo(function FlagRow({
  flag,
  activity,
  environment,
  top,
  index,
  busy,
  onSwitch,
  no,
}: {
  flag: FlagSummary;
  activity: FlagActivity | undefined;
  environment: string;
  top: number;
  index: number;
  busy: boolean;
  onSwitch: (flag: FlagSummary, on: boolean) => void;
  // Why it may not be switched.
  no: string | undefined;
}) {
  return (
    <div className="flag" role="row" aria-rowindex={index + 2} style={{ transform: `translateY(${top}px)` }}>
      <div role="cell">
        <Switch
          on={flag.enabled}
          busy={busy}
          disabled={no !== undefined}
          title={no}
          label={`${flag.key} is ${flag.enabled ? "on" : "off"}`}
          onChange={(on) => onSwitch(flag, on)}
        />
      </div>
      <div role="cell">
        <div className="row tight fixed">
          <Link
            className="name truncate"
            href={`/${environment}/flags/${encodeURIComponent(flag.key)}`}
            data-flag={flag.key}
          >
            {flag.key}
          </Link>
          {flag.rollouts.map((key) => (
            <RunningRollout key={key} rolloutKey={key} on={flag.enabled} environment={environment} />
          ))}
          {flag.hiddenRollouts > 0 && <Badge tone="accent">rollout</Badge>}
          {flag.unusable && (
            <Badge tone="bad" title="What is stored cannot be used; the last version that could be is served">
              <AlertTriangle size={12} aria-hidden /> unusable
            </Badge>
          )}
          {activity && activity.stale.length > 0 && <Badge tone="warn">stale</Badge>}
          {flag.kind !== 0 && (
            <span className="kind">
              <Badge>{kindWords[flag.kind]}</Badge>
            </span>
          )}
        </div>
        <div className="small soft truncate">{flag.description || <span className="faint">no description</span>}</div>
      </div>
      <div role="cell" className="medium stack tight">
        <span className="small truncate" title={servesWords(flag)}>
          {servesWords(flag)}
        </span>
        <ShareBar flag={flag} parts={served(flag)} />
      </div>
      <div role="cell" className="wide">
        <Sparkline flag={flag} activity={activity} />
      </div>
      <div role="cell" className="wide small soft truncate">
        {flag.owner || <span className="faint">nobody</span>}
        <div className="truncate faint">{flag.tags.join(", ")}</div>
      </div>
      <div role="cell" className="medium small soft">
        {activity ? <Ago at={dateOf(activity.updatedAt)} /> : <Unknown />}
        <div className="truncate faint" title={activity && `${activity.updatedBy}: ${activity.updatedReason}`}>
          {activity?.updatedBy.replace(/@.*/, "")}
        </div>
      </div>
    </div>
  );
});
