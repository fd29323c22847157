import { problemOf } from "../api/errors";
import { reasonWords } from "../lib/figures";
import { dateOf } from "../lib/time";
import { Ago, Button, Note } from "./basics";
import { Changes, subjectOf } from "./changes";

// What a call failed with: in words, field by field, and, where somebody else came first, what
// they did.
export function ProblemNote({ failure, again }: { failure: unknown; again?: () => void }) {
  const problem = problemOf(failure);
  return (
    <Note tone={problem.conflict ? "warn" : "bad"}>
      <strong>{problem.conflict ? "Somebody else changed this first" : problem.message}</strong>
      {problem.violations
        .filter((v) => !problem.message.includes(v.problem))
        .map((v) => (
          <span key={v.field + v.problem}>
            {v.field && <code>{v.field}</code>} {v.problem}
          </span>
        ))}
      {problem.conflict?.latest && (
        <>
          <span>
            {problem.conflict.latest.actor}, <Ago at={dateOf(problem.conflict.latest.time)} />: “
            {reasonWords(problem.conflict.latest)}”
          </span>
          <Changes changes={problem.conflict.changes} subject={subjectOf(problem.conflict.kind)} />
        </>
      )}
      {problem.unreachable && <span>What you see may be old. Nothing that you entered is lost.</span>}
      {again && (
        <div>
          <Button small onClick={again}>
            Try again
          </Button>
        </div>
      )}
    </Note>
  );
}
