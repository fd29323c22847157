import { useMemo } from "react";
import { BandChart } from "../../components/band-chart";
import { Badge, Card } from "../../components/basics";
import { Comparison, SuccessVerdict } from "../../gen/tidegate/rollout/v1/decision_pb";
import { Direction, type Rollout, Statistic } from "../../gen/tidegate/rollout/v1/rollout_pb";
import { count, percent } from "../../lib/numbers";
import { successFigure, successTones, successValue, successWords } from "../../lib/rollout-words";
import { type Marker, successBand } from "../../lib/series";
import { secondsOf, span } from "../../lib/time";
import type { Seen } from "../rollouts/use-rollout";

const verdicts = {
  [SuccessVerdict.UNSPECIFIED]: "undecided",
  [SuccessVerdict.UNDECIDED]: "undecided",
  [SuccessVerdict.WON]: "better",
  [SuccessVerdict.LOST]: "worse",
};

// Whether the treatment is better: the interval of the difference over time, around 0.
export function SuccessCard({ rollout, seen, steps }: { rollout: Rollout; seen: Seen; steps: Marker[] }) {
  const { success } = rollout;
  const s = seen.assessment?.success;
  const band = useMemo(() => successBand(seen.series), [seen.series]);
  if (!success) return null;
  const verdict = s?.verdict ?? SuccessVerdict.UNSPECIFIED;
  const words = successWords(s, success.statistic);
  const wait = seen.assessment?.waits.find((w) => w.reason === "success");
  const until = secondsOf(wait?.until);
  const better = success.better === Direction.DECREASE ? "falls" : "rises";
  const alpha = success.alpha || 0.05;
  return (
    <Card
      title={
        <div className="row tight">
          <h2>Success: {success.metric}</h2>
          <span className="small soft">is better when it {better}</span>
        </div>
      }
      actions={<Badge tone={successTones[verdict]}>{verdicts[verdict]}</Badge>}
    >
      <div className="guardrail">
        <div className="stack">
          <p className="verdict">
            {words}
            {until ? ` It would take about ${span(until)} more at this traffic.` : ""}
          </p>
          <BandChart
            band={band}
            comparison={success.statistic === Statistic.RATE ? Comparison.RATE_DIFFERENCE : Comparison.DIFFERENCE}
            label={`${success.metric}, treatment minus control, over time. ${words}`}
            steps={steps}
            zero
          />
          <p className="small soft">
            Peeking is fine: the interval holds at all times together, with probability {percent(1 - alpha)}. When it
            leaves 0, it is decided.
          </p>
        </div>
        <div className="stack facts">
          {s?.estimate !== undefined ? (
            <table className="table arms num">
              <caption className="visually-hidden">Means of both arms</caption>
              <tbody>
                <tr>
                  <td>treatment</td>
                  <td className="right">{successValue(success.statistic, s.controlMean + s.estimate)}</td>
                </tr>
                <tr>
                  <td>control</td>
                  <td className="right">{successValue(success.statistic, s.controlMean)}</td>
                </tr>
                <tr>
                  <td>difference</td>
                  <td className="right">
                    <strong>{successFigure(success.statistic, s.estimate)}</strong>
                  </td>
                </tr>
                <tr>
                  <td>units, both arms</td>
                  <td className="right">{count(s.units)}</td>
                </tr>
              </tbody>
            </table>
          ) : (
            <p className="small soft">Nothing was counted yet.</p>
          )}
          <p className="small soft">
            A difference of {percent(success.relevantDifference || 0.05)} of the control would matter; the interval is
            tuned to it.
            {success.giveUpAfter && ` It gives up after ${span(secondsOf(success.giveUpAfter) ?? 0)}.`}
          </p>
        </div>
      </div>
    </Card>
  );
}
