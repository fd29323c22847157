import "./evidence-meter.css";
import { evidence, ticks } from "../lib/evidence";

// How far evidence has come: from none to the threshold, on a logarithmic scale.
export function EvidenceMeter({
  kind,
  logE,
  logThreshold,
  of = "",
  small,
}: {
  kind: "harm" | "safety";
  logE: number | undefined;
  logThreshold: number;
  // What it is evidence of: "beyond 1.5×".
  of?: string;
  small?: boolean;
}) {
  const e = evidence(logE, logThreshold);
  if (!e) return null;
  const name = `Evidence of ${kind}${of && `, ${of}`}`;
  return (
    <div className={`evidence ${kind} ${e.reached ? "reached" : ""} ${small ? "small" : ""}`}>
      {!small && (
        <div className="row spread tight">
          <span className="small">{name}</span>
          <span className="small num">{e.words}</span>
        </div>
      )}
      <div
        className="scale"
        role="meter"
        aria-label={name}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(e.position * 100)}
        aria-valuetext={`${e.words} needed`}
        title={`${name}: ${e.words} needed`}
      >
        <span style={{ width: `${e.position * 100}%` }} />
        {!small &&
          ticks(logThreshold).map((t) => (
            // one for each power of ten
            <i key={t} style={{ left: `${t * 100}%` }} />
          ))}
      </div>
    </div>
  );
}

// What the meters mean, for whoever asks.
export function EvidenceMeaning() {
  return (
    <details className="small evidence-meaning">
      <summary>What is this?</summary>
      <p>
        Evidence says how many times more likely what was counted is if there is harm (or safety) than if there is none.
        It starts at 1 and each step of the scale is ten times more. At the threshold the decider acts: a threshold of
        1,000 is passed by chance, without harm, at most once in 1,000 rollouts, however often one looks.
      </p>
    </details>
  );
}
