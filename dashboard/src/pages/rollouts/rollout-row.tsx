import { memo } from "react";
import { Link } from "wouter";
import { useLive } from "../../api/use-live";
import { Ago, Badge } from "../../components/basics";
import { EvidenceMeter } from "../../components/evidence-meter";
import type { RolloutSummary } from "../../gen/tidegate/control/v1/watch_service_pb";
import type { Assessment } from "../../gen/tidegate/rollout/v1/decision_pb";
import { State } from "../../gen/tidegate/rollout/v1/rollout_pb";
import { figures } from "../../lib/figures";
import { count } from "../../lib/numbers";
import { endReason, isOver, share, stateTones, stateWords } from "../../lib/rollout-words";
import { successTones, successVerdicts } from "../../lib/success-words";
import { dateOf, span } from "../../lib/time";
import { EffectLine } from "../experiments/effect";
import { StageBar } from "./rollout-head";

// One line of the list: under way, how it stands; over, how it ended.
export const RolloutRow = memo(function RolloutRow({
  rollout: r,
  owner,
  assessment,
  href,
}: {
  rollout: RolloutSummary;
  owner: string;
  assessment: Assessment | undefined;
  href: string;
}) {
  const state = r.status?.state ?? State.UNSPECIFIED;
  const over = isOver(r.status);
  const off = useLive((l) => l.flags.get(r.flagKey)?.enabled === false) && !over;
  // The guardrail with the most evidence of harm.
  const worst = assessment?.guardrails
    .filter((g) => g.logE !== undefined && g.logThreshold > 0)
    .sort((a, b) => (b.logE ?? 0) / b.logThreshold - (a.logE ?? 0) / a.logThreshold)[0];
  const effect = over ? r.status?.success : assessment?.success;
  return (
    <li className="rollout-row">
      <div className="what">
        <div className="row tight">
          <Link className="name truncate" href={href}>
            {r.key}
          </Link>
          <Badge tone={stateTones[state]}>{stateWords[state]}</Badge>
          {effect && <Badge tone={successTones[effect.verdict]}>{successVerdicts[effect.verdict]}</Badge>}
        </div>
        <div className="small soft truncate">
          <code>{r.flagKey}</code> to <code>{r.treatment}</code>
          {owner && <> · {owner}</>}
        </div>
      </div>
      <div className="how small">
        <span className="headline">
          {over && r.status
            ? endReason(r.status)
            : figures(assessment?.headline || r.status?.headline || "Nothing was counted yet.")}
        </span>
        {r.successMetric !== "" && (
          <EffectLine metric={r.successMetric} statistic={r.successStatistic} effect={effect} over={over} />
        )}
        {over ? (
          <span className="soft">
            <Ended r={r} />
          </span>
        ) : (
          <span className="soft num">
            {assessment && !off && `${count(Math.round(assessment.traffic))} exposures a second`}
          </span>
        )}
      </div>
      <div className="share">
        <span className="num">{off ? "Off" : share(r.status?.weight ?? 0)}</span>
        <StageBar
          weight={off ? 0 : (r.status?.weight ?? 0)}
          stages={r.stages}
          tone={state === State.ROLLED_BACK ? "bad" : state === State.COMPLETED ? "good" : ""}
        />
      </div>
      <div className="meter">
        {!over && worst && (
          <>
            <span className="small soft truncate">{worst.name}</span>
            <EvidenceMeter kind="harm" small logE={worst.logE} logThreshold={worst.logThreshold} />
          </>
        )}
      </div>
    </li>
  );
});

function Ended({ r }: { r: RolloutSummary }) {
  const started = dateOf(r.status?.startedAt);
  const ended = dateOf(r.status?.endedAt);
  return (
    <>
      <Ago at={ended} />
      {started && ended && `, after ${span((ended.getTime() - started.getTime()) / 1000)}`}
    </>
  );
}
