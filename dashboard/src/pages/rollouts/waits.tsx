import { Card, Note } from "../../components/basics";
import type { Assessment } from "../../gen/tidegate/rollout/v1/decision_pb";
import { evidence } from "../../lib/evidence";
import { figures } from "../../lib/figures";
import { count, percent } from "../../lib/numbers";
import { secondsOf, span } from "../../lib/time";

// What the decider waits for, the most pressing first.
export function Waits({ assessment }: { assessment: Assessment | undefined }) {
  const waits = assessment?.waits ?? [];
  return (
    <Card title="Waiting for">
      {waits.length === 0 ? (
        <p className="small soft">{assessment ? "Nothing: it goes on at once." : "The first exposures."}</p>
      ) : (
        <ol className="waits small">
          {waits.map((w, i) => {
            const until = secondsOf(w.until);
            return (
              <li key={`${w.reason}-${w.guardrail}`} className={i === 0 ? "first" : ""}>
                <span>{figures(w.message)}</span>
                {until ? <span className="soft num nowrap">about {span(until)}</span> : null}
              </li>
            );
          })}
        </ol>
      )}
    </Card>
  );
}

// Whether subjects come to the variants as the split intends: calm, unless they do not.
export function SampleRatioCard({ assessment, over }: { assessment: Assessment | undefined; over: boolean }) {
  const s = assessment?.sampleRatio;
  const e = s && evidence(s.logE, s.logThreshold);
  return (
    <Card title="Sample ratio">
      {!s || s.subjects === 0n ? (
        <p className="small soft">
          {over
            ? "Whether the variants got the subjects that the split intended was not known when it ended."
            : "Whether the variants get the subjects that the split intends is not known yet."}
        </p>
      ) : e?.reached ? (
        <Note tone="bad">
          <span>
            The treatment {over ? "got" : "gets"} {percent(s.observed)} of the subjects, not {percent(s.expected)}:
            something loses or repeats some of them. Figures cannot be compared
            {!over && ", and the rollout stays where it is"}.
          </span>
        </Note>
      ) : (
        <p className="small">
          As intended: <span className="num">{percent(s.observed)}</span> of{" "}
          <span className="num">{count(s.subjects)}</span> subjects got the treatment, where{" "}
          <span className="num">{percent(s.expected)}</span> {over ? "were" : "are"} meant to. Each relay counts its
          own: one who comes by two of them is in it twice.
        </p>
      )}
      {assessment && assessment.refused > 0n && (
        <Note tone="warn">
          <span>
            {count(assessment.refused)} counts could not be used: {assessment.refusal}
          </span>
        </Note>
      )}
    </Card>
  );
}
