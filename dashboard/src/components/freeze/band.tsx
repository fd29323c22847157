import { Snowflake } from "lucide-react";
import { useState } from "react";
import { useSession } from "../../api/session";
import { useFreeze } from "../../api/use-freeze";
import { Role } from "../../gen/tidegate/access/v1/identity_pb";
import type { Frozen } from "../../gen/tidegate/rollout/v1/decision_pb";
import { frozenWords, stillWorks } from "../../lib/freeze-words";
import { Button } from "../basics";
import { LiftDialog } from "./dialogs";

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
        {frozen.length > 1 && ` (and ${frozen.length - 1} more)`}. {stillWorks(frozen)}
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
