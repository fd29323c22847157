import { useMemo } from "react";
import { BandChart } from "../../components/band-chart";
import { Badge, Card } from "../../components/basics";
import { Comparison } from "../../gen/tidegate/rollout/v1/decision_pb";
import { Direction, type Rollout, Statistic, SuccessVerdict } from "../../gen/tidegate/rollout/v1/rollout_pb";
import { countedMeaning, countedOf } from "../../lib/count-words";
import { count, percent } from "../../lib/numbers";
import { type Marker, successBand } from "../../lib/series";
import {
  endWords,
  successFigure,
  successTones,
  successValue,
  successVerdicts,
  successWords,
} from "../../lib/success-words";
import { secondsOf, span } from "../../lib/time";
import type { Seen } from "../rollouts/use-rollout";

// Whether the treatment is better: the interval of the difference over time, around 0.
export function SuccessCard(props: { rollout: Rollout; seen: Seen; steps: Marker[]; over: boolean }) {
  const { rollout, seen, steps, over } = props;
  const { success } = rollout;
  const s = seen.success;
  const band = useMemo(() => successBand(seen.series), [seen.series]);
  if (!success) return null;
  const verdict = s?.verdict ?? SuccessVerdict.UNSPECIFIED;
  const words = over ? endWords(s, success.statistic) : successWords(s, success.statistic);
  const wait = over ? undefined : seen.assessment?.waits.find((w) => w.reason === "success");
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
      actions={(s || !over) && <Badge tone={successTones[verdict]}>{successVerdicts[verdict]}</Badge>}
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
            over={over}
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
                {"controlMean" in s && (
                  <>
                    <tr>
                      <td>treatment</td>
                      <td className="right">{successValue(success.statistic, s.controlMean + s.estimate)}</td>
                    </tr>
                    <tr>
                      <td>control</td>
                      <td className="right">{successValue(success.statistic, s.controlMean)}</td>
                    </tr>
                  </>
                )}
                <tr>
                  <td>difference</td>
                  <td className="right">
                    <strong>{successFigure(success.statistic, s.estimate)}</strong>
                  </td>
                </tr>
                <tr>
                  <td>{countedOf(success)}, both arms</td>
                  <td className="right">{count(s.units)}</td>
                </tr>
              </tbody>
            </table>
          ) : (
            <p className="small soft">{over ? "There are no figures of it." : "There is nothing to compare yet."}</p>
          )}
          {s?.estimate !== undefined && <p className="small soft">{countedMeaning(success, rollout.unit)}</p>}
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
