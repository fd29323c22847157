import { Snowflake } from "lucide-react";
import { useState } from "react";
import { useSession } from "../../api/session";
import { useFreeze } from "../../api/use-freeze";
import { Role } from "../../gen/tidegate/access/v1/identity_pb";
import type { Frozen } from "../../gen/tidegate/rollout/v1/decision_pb";
import { dateOf, moment } from "../../lib/time";
import { Button } from "../basics";
import { LiftDialog } from "./dialogs";

// By what an environment is frozen, in a sentence.
export function frozenWords(f: Frozen): string {
  const since = dateOf(f.since);
  const until = dateOf(f.until);
  const who = f.window
    ? `Frozen by the window “${f.window}”`
    : `${f.everywhere ? "Everything is frozen" : "Frozen"} by ${f.actor || "somebody unnamed"}`;
  return `${who}${since ? ` since ${moment(since)}` : ""}${until ? `, until ${moment(until)}` : ""}${f.reason ? `: ${f.reason}` : ""}`;
}

// What nobody may overlook: the environment is frozen, by whom, and what works all the same.
export function FreezeBand({ environment }: { environment: string }) {
  const frozen = useFreeze(environment)?.frozen ?? [];
  const session = useSession();
  const [lifting, setLifting] = useState<Frozen>();
  const first = frozen.find((f) => !f.window) ?? frozen[0];
  if (!first) return null;
  const mayLift = !first.window && session.may(Role.OPERATOR, first.everywhere ? "" : environment);
  return (
    <div className="band frozen" role="alert">
      <Snowflake size={15} aria-hidden />
      <span>
        {frozenWords(first)}
        {frozen.length > 1 && ` (and ${frozen.length - 1} more)`}. Flags can be turned off; rollouts are only shut.
      </span>
      {mayLift && (
        <Button small onClick={() => setLifting(first)}>
          Lift…
        </Button>
      )}
      {lifting && <LiftDialog environment={environment} frozen={lifting} onClose={() => setLifting(undefined)} />}
    </div>
  );
}
