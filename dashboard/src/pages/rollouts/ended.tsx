import { Link } from "wouter";
import { useLive } from "../../api/use-live";
import { Ago, CopyButton, Note } from "../../components/basics";
import { Receipt } from "../../components/receipt";
import { Words } from "../../components/words";
import type { FlagSummary } from "../../gen/tidegate/control/v1/watch_service_pb";
import type { Decision } from "../../gen/tidegate/rollout/v1/decision_pb";
import { Denominator, type Rollout, State, Statistic } from "../../gen/tidegate/rollout/v1/rollout_pb";
import { countedMeaning, countedOf, rateWords, treatedWords } from "../../lib/count-words";
import { evidence } from "../../lib/evidence";
import { endReason } from "../../lib/rollout-words";
import { endedWords, nowWords } from "../../lib/served-words";
import { dateOf, span } from "../../lib/time";
import { EffectLine } from "../experiments/effect";
import { type Seen, useEnding, useWholeFlag } from "./use-rollout";

// How it ended: what, when, why in figures, whether relays have it, what is served since, and how
// to go on.
export function Ended({ environment, seen, rollout }: { environment: string; seen: Seen; rollout: Rollout }) {
  const status = seen.summary?.status ?? rollout.status;
  const flag = useLive((l) => l.flags.get(rollout.flagKey));
  const ending = useEnding(environment, rollout.key, status);
  const ended = dateOf(status?.endedAt);
  const started = dateOf(status?.startedAt);
  if (!status || !ended) return null;
  const after = started ? span((ended.getTime() - started.getTime()) / 1000) : "";
  const { state } = status;
  const tone = state === State.COMPLETED ? "good" : state === State.ROLLED_BACK ? "bad" : "warn";
  const { last } = seen;
  return (
    <Note tone={tone}>
      <strong className="ended">{endedWords(rollout, state, flag?.rules)}</strong>
      <span>
        <Ago at={ended} />
        {after && `, ${after} after it started`}. {endReason(status, ending)}
      </span>
      {rollout.success && (
        <EffectLine metric={rollout.success.metric} statistic={rollout.success.statistic} effect={seen.success} over />
      )}
      {state === State.ROLLED_BACK && last && <Why decision={last} rollout={rollout} />}
      <span className="row tight">
        <Receipt environment={environment} revision={seen.revision} past />
      </span>
      {flag && <Now environment={environment} rollout={rollout} flag={flag} />}
      {state !== State.COMPLETED && (
        <span className="small">
          To go on: find out why, mend it, then{" "}
          <Link
            href={`/${environment}/rollouts/~new?flag=${encodeURIComponent(rollout.flagKey)}&like=${encodeURIComponent(rollout.key)}`}
          >
            start again with the same guardrails
          </Link>
          .
        </span>
      )}
      {state === State.ROLLED_BACK && last && <Proof environment={environment} rollout={rollout} decision={last} />}
    </Note>
  );
}

// What is served where the rollout had its hand, whoever has changed that since.
function Now({ environment, rollout, flag }: { environment: string; rollout: Rollout; flag: FlagSummary }) {
  const whole = useWholeFlag(environment, flag);
  // An empty line is its place until it is known.
  return <span>{whole ? <Words words={nowWords(rollout.rule, whole)} /> : "\u00a0"}</span>;
}

function Why({ decision, rollout }: { decision: Decision; rollout: Rollout }) {
  const g = decision.assessment?.guardrails.find((one) => one.name === decision.deciding);
  const c = g?.counts;
  if (!g || !c) return null;
  const treated = treatedWords(decision.assessment?.sampleRatio, rollout.treatment);
  const harm = evidence(g.logE, g.logThreshold);
  const guardrail = rollout.guardrails.find((one) => one.name === g.name);
  const of = countedOf(guardrail ?? { statistic: Statistic.RATE, denominator: Denominator.UNSPECIFIED });
  return (
    <>
      <span className="num">
        <strong>{g.name}</strong>: {rateWords(c.treatmentEvents, c.treatmentExposures, of)} of the treatment against{" "}
        {rateWords(c.controlEvents, c.controlExposures, of)} of the control
        {harm && `; evidence of harm ${harm.words}`}.
      </span>
      {guardrail && <span className="small soft">{countedMeaning(guardrail, rollout.unit)}</span>}
      {treated && <span className="num">{treated}</span>}
    </>
  );
}

function Proof(props: { environment: string; rollout: Rollout; decision: Decision }) {
  const command = `tidegate rollout replay ${props.rollout.key} ${props.decision.number} -e ${props.environment}`;
  return (
    <span className="row tight small">
      Prove it: <code className="command">{command}</code>
      <CopyButton text={command} label="Copy the command" />
    </span>
  );
}
