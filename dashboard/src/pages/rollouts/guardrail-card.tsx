import { useMemo } from "react";
import { BandChart } from "../../components/band-chart";
import { Badge, Card } from "../../components/basics";
import { EvidenceMeaning, EvidenceMeter } from "../../components/evidence-meter";
import type { SeriesPoint } from "../../gen/tidegate/control/v1/rollout_series_pb";
import type { Counts, GuardrailAssessment } from "../../gen/tidegate/rollout/v1/decision_pb";
import { Action, type Guardrail, Statistic, type Unit } from "../../gen/tidegate/rollout/v1/rollout_pb";
import { countedMeaning, countedOf } from "../../lib/count-words";
import { formatGuardrail } from "../../lib/guardrail-text";
import { percent, whole } from "../../lib/numbers";
import {
  bandWords,
  changeOfMind,
  compared,
  comparisonWords,
  detectableWords,
  endedStanding,
  standingMeaning,
  standingTones,
  standingWords,
} from "../../lib/rollout-words";
import { guardrailBand, type Marker } from "../../lib/series";
import { secondsOf, span } from "../../lib/time";
import { capital } from "../../lib/words";

// One guardrail: how it stands, how it got there, and what would change the decider's mind.
export function GuardrailCard({
  guardrail,
  index,
  assessment: a,
  series,
  steps,
  decisions,
  unit,
  over,
}: {
  guardrail: Guardrail;
  index: number;
  assessment: GuardrailAssessment | undefined;
  series: SeriesPoint[];
  steps: Marker[];
  decisions: Marker[];
  unit: Unit;
  over: boolean;
}) {
  const band = useMemo(() => guardrailBand(series, index), [series, index]);
  const standing = a?.standing ?? 0;
  const said = over ? endedStanding[standing] : { words: standingWords[standing], meaning: standingMeaning[standing] };
  const words = a && bandWords(a);
  const need = a && compared(a.comparison, a.promotionLimit);
  const until = secondsOf(a?.until);
  return (
    <Card
      title={
        <div className="row tight">
          <h2>{guardrail.name}</h2>
          <code className="small soft">{formatGuardrail(guardrail)}</code>
        </div>
      }
      actions={
        <>
          {guardrail.action === Action.HOLD && (
            <Badge title="A breach stops the widening, and does not shut">holds</Badge>
          )}
          <Badge tone={standingTones[standing]} title={said.meaning}>
            {said.words}
          </Badge>
        </>
      }
    >
      <div className="guardrail">
        <div className="stack">
          {a ? (
            <>
              <p className="small soft">
                {comparisonWords[a.comparison]}
                {words && (
                  <>
                    : <strong className="num">{words}</strong>
                  </>
                )}
              </p>
              <ul className="legend small soft">
                <li className="estimate">estimate and its band (95%, at all times)</li>
                <li className="limit">
                  margin <span className="num">{compared(a.comparison, a.limit)}</span>
                </li>
                {a.promotionLimit !== a.limit && (
                  <li className="promotion">
                    to leave this stage <span className="num">{need}</span>
                  </li>
                )}
              </ul>
              <BandChart
                band={band}
                comparison={a.comparison}
                label={`${guardrail.name}, ${comparisonWords[a.comparison]}, over time: ${words ?? "no estimate"}; ${said.words}; the margin is ${compared(a.comparison, a.limit)}.`}
                steps={steps}
                decisions={decisions}
                over={over}
              />
            </>
          ) : (
            <p className="soft small waiting">
              {over
                ? "It ended before the first decision: there are no figures of it."
                : "Nothing was counted yet. The chart begins with the first exposures."}
            </p>
          )}
        </div>
        <div className="stack facts">
          {a && (
            <>
              <EvidenceMeter
                kind="harm"
                of={`beyond ${compared(a.comparison, a.limit)}`}
                logE={a.logE}
                logThreshold={a.logThreshold}
              />
              <EvidenceMeter kind="safety" of={`within ${need}`} logE={a.gateLogE} logThreshold={a.gateLogThreshold} />
              <EvidenceMeaning />
              <Arms a={a} guardrail={guardrail} />
              {a.counts && <p className="small soft">{countedMeaning(guardrail, unit)}</p>}
              {a.worstSegment && (
                <p className="small">
                  Worst segment: <code>{a.worstSegment}</code>
                </p>
              )}
              {!over && (
                <ul className="small soft plain">
                  {[
                    changeOfMind(a, guardrail),
                    detectableWords(a),
                    until ? `Safety is proven in about ${span(until)} at this traffic.` : undefined,
                  ]
                    .filter(Boolean)
                    .map((t) => (
                      <li key={t}>{t}</li>
                    ))}
                </ul>
              )}
            </>
          )}
        </div>
      </div>
    </Card>
  );
}

// The raw counts of both arms, at this step.
function Arms({ a, guardrail }: { a: GuardrailAssessment; guardrail: Guardrail }) {
  const c = a.counts;
  if (!c) return null;
  const value = (arm: "treatment" | "control") => {
    const told = arm === "treatment" ? a.treatmentValue : a.controlValue;
    if (told !== undefined)
      return guardrail.statistic === Statistic.RATE ? percent(told) : String(+told.toPrecision(4));
    const [events, all] = armCounts(c, arm);
    return all > 0 ? percent(events / all) : "–";
  };
  return (
    <table className="table arms num">
      <caption className="visually-hidden">Counts of this stage</caption>
      <thead>
        <tr>
          <th>This stage</th>
          <th className="right">Events</th>
          <th className="right">{capital(countedOf(guardrail))}</th>
          <th className="right">{guardrail.statistic === Statistic.RATE ? "Rate" : "Value"}</th>
        </tr>
      </thead>
      <tbody>
        {(["treatment", "control"] as const).map((arm) => {
          const [events, all] = armCounts(c, arm);
          return (
            <tr key={arm}>
              <td>{arm}</td>
              <td className="right">{whole(events)}</td>
              <td className="right">{whole(all)}</td>
              <td className="right">{value(arm)}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function armCounts(c: Counts, arm: "treatment" | "control"): [number, number] {
  return arm === "treatment"
    ? [Number(c.treatmentEvents), Number(c.treatmentExposures)]
    : [Number(c.controlEvents), Number(c.controlExposures)];
}
