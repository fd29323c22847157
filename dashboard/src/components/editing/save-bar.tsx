import "./editing.css";
import type { DescMessage } from "@bufbuild/protobuf";
import { AlertTriangle, PencilLine } from "lucide-react";
import type { ReactNode } from "react";
import { plural } from "../../lib/numbers";
import { Button } from "../basics";
import type { DraftState } from "../draft";
import { ToMend } from "./to-mend";
import type { Check } from "./use-check";

// What is not saved yet, and what can be done with it.
export function SaveBar<S extends DescMessage>({
  state,
  check,
  mayWrite,
  review,
}: {
  state: DraftState<S>;
  check: Check;
  mayWrite: boolean;
  review: () => void;
}) {
  const unread = Object.keys(state.draft.texts).length;
  const hindrance =
    unread > 0
      ? "First mend what cannot be read"
      : !mayWrite
        ? "You may not change it"
        : state.behind
          ? "First look at what somebody else saved"
          : undefined;
  const wrong = unread > 0 || !!check.problem;
  return (
    <div className={`save-bar ${wrong ? "wrong" : ""}`} role="region" aria-label="Unsaved changes">
      {wrong ? <AlertTriangle size={17} aria-hidden /> : <PencilLine size={17} aria-hidden />}
      <span className="words" role="status">
        {state.draft.texts.raw !== undefined
          ? "The raw text cannot be read yet. Nothing is saved."
          : words(unread, check)}
      </span>
      <Button onClick={state.discard}>Discard</Button>
      <Button kind="primary" disabled={hindrance !== undefined} title={hindrance ?? "Ctrl+S"} onClick={review}>
        Review and save
      </Button>
    </div>
  );
}

function words(unread: number, check: Check): ReactNode {
  if (unread > 0) return `${plural(unread, "field")} cannot be read yet. Nothing is saved.`;
  if (check.problem?.unreachable) return "The server cannot be reached. What you changed is kept.";
  const [first] = check.toMend;
  if (first)
    return (
      <>
        {plural(check.toMend.length, "thing")} to mend. <ToMend {...first} />
      </>
    );
  if (check.problem) return check.problem.message;
  if (!check.current && check.changes.length === 0) return "Unsaved changes.";
  return `${plural(check.changes.length, "unsaved change")}.`;
}
