import type { DescMessage } from "@bufbuild/protobuf";
import { Check as CheckIcon } from "lucide-react";
import { subjectOfMessage } from "../../lib/changes/say";
import { plural } from "../../lib/numbers";
import { plain, type Words as Text } from "../../lib/words";
import { Note } from "../basics";
import { ChangeDialog } from "../change-dialog";
import { Changes } from "../changes";
import type { DraftState, Version } from "../draft";
import type { Proposal } from "../proposal";
import { Words } from "../words";
import { ToMend } from "./to-mend";
import type { Check } from "./use-check";

// What will change, as the server sees it, and why.
export function ReviewDialog<S extends DescMessage>({
  environment,
  what,
  sentence,
  state,
  check,
  lost,
  write,
  proposal,
  onClose,
}: {
  environment: string;
  what: string;
  // What it will do.
  sentence: Text;
  state: DraftState<S>;
  check: Check;
  // What was typed, and will not be kept.
  lost?: string;
  write: (reason: string, requestId: string) => Promise<Version<S> | undefined>;
  // The same as a change request would have it.
  proposal: () => Proposal;
  onClose: () => void;
}) {
  async function run(reason: string, requestId: string) {
    const written = await write(reason, requestId);
    if (written) state.saved(written);
    return { revision: written?.revision };
  }

  return (
    <ChangeDialog
      title={`Save ${what} in ${environment}`}
      environment={environment}
      label="Save"
      wide
      unseen={check.toMend.length > 0}
      done={`${what} is saved`}
      run={run}
      proposal={proposal}
      onProposed={state.discard}
      onClose={onClose}
    >
      {state.behind && (
        <Note tone="warn">
          <span>Somebody else saved another version meanwhile. Close this, and look at what they did first.</span>
        </Note>
      )}
      {lost && (
        <Note tone="warn">
          <span>{lost}</span>
        </Note>
      )}
      {check.problem ? (
        <Note tone="bad">
          <strong>
            {check.toMend.length > 0
              ? `${plural(check.toMend.length, "thing")} to mend before it can be saved`
              : check.problem.message}
          </strong>
          {check.toMend.map((m) => (
            <ToMend key={plain(m.where) + m.problem} {...m} />
          ))}
        </Note>
      ) : (
        <Note>
          <span>
            From then on: <Words words={sentence} />
          </span>
        </Note>
      )}
      {!check.problem && (
        <Changes
          changes={check.changes}
          subject={subjectOfMessage(state.draft.mine)}
          none={check.current ? "Nothing differs from what is there." : "Asking the server…"}
        />
      )}
      {check.current && !check.problem && (
        <p className="soft small row tight">
          <CheckIcon size={14} aria-hidden /> The server has checked it.
        </p>
      )}
    </ChangeDialog>
  );
}
