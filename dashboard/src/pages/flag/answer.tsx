import { Badge, Note } from "../../components/basics";
import type { ExplainedAnswer } from "../../gen/tidegate/control/v1/explanation_pb";
import { jsonOf } from "../../lib/values";

const reasons: Record<string, string> = {
  DISABLED: "the flag is off",
  TARGETING_MATCH: "a rule matched",
  SPLIT: "a split chose it",
  STATIC: "everyone gets it",
  DEFAULT: "no rule matched",
  ERROR: "it cannot be answered",
};

// What the caller gets.
export function Answer({ answer }: { answer: ExplainedAnswer | undefined }) {
  if (!answer) return null;
  return (
    <div className="answer" aria-live="polite">
      {answer.value ? (
        <>
          <span className="served-name">{answer.variant}</span>
          <code className="served-value">{JSON.stringify(jsonOf(answer.value))}</code>
        </>
      ) : (
        <span className="served-name">the caller’s own default</span>
      )}
      <Badge title={answer.reason}>{reasons[answer.reason] ?? answer.reason}</Badge>
      {answer.errorCode && (
        <Note tone="bad">
          <strong>{answer.errorCode}</strong>
          <span>{answer.errorMessage}</span>
        </Note>
      )}
    </div>
  );
}
