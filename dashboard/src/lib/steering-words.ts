import type { FlagSummary } from "../gen/tidegate/control/v1/watch_service_pb";
import type { Assessment } from "../gen/tidegate/rollout/v1/decision_pb";
import { Action, type Rollout, SuccessVerdict } from "../gen/tidegate/rollout/v1/rollout_pb";
import { share } from "./rollout-words";
import { audience } from "./served-words";
import { stageWeight } from "./stages";
import { capital } from "./words";

export type Act = "pause" | "resume" | "promote" | "abort" | "delete";

// What somebody is asked before they steer a rollout, and told after. `stage` is the one that
// it would be widened to; one beyond the last: it would be complete.
export function steeringWords(
  act: Act,
  of: {
    environment: string;
    rollout: Rollout;
    flag: FlagSummary | undefined;
    stage: number;
    assessment?: Assessment | undefined;
  },
): { title: string; label: string; done: string; what: string; caution?: string } {
  const { environment, rollout, flag, stage } = of;
  const { key, treatment, control } = rollout;
  const now = share(rollout.status?.weight ?? 0);
  const whom = audience(rollout.rule, flag?.rules);
  switch (act) {
    case "pause":
      return {
        title: `Pause ${key} in ${environment}`,
        label: "Pause",
        done: `${key} is paused`,
        what: `It stays at ${now}. ${watchWords(rollout)}`,
      };
    case "resume":
      return {
        title: `Resume ${key} in ${environment}`,
        label: "Resume",
        done: `${key} goes on`,
        what: `It goes on from ${now}, as the evidence allows.`,
      };
    case "promote": {
      const next = rollout.stages[stage];
      const unproven = unprovenWords(of.assessment);
      if (!next)
        return {
          title: `Complete ${key} in ${environment}`,
          label: "Complete",
          done: `${key} is complete`,
          what: `“${treatment}” goes from ${now} to 100%: ${whom} gets it. The rollout is over then.`,
          caution: `${unproven}No guardrail watches it after that.`,
        };
      const to = share(stageWeight(rollout, next));
      return {
        title: `Widen ${key} in ${environment}`,
        label: `Widen to ${to}`,
        done: `${key} is widened to ${to}`,
        what: `“${treatment}” goes from ${now} to ${to}.`,
        caution: `${unproven}${watchWords(rollout)}`,
      };
    }
    case "abort": {
      const what =
        flag?.enabled === false
          ? `When the flag is on again, ${whom} gets “${control}”.`
          : `${capital(whom)} gets “${control}” again, at once.`;
      return {
        title: `Abort ${key} in ${environment}`,
        label: "Abort",
        done: `${key} is aborted`,
        what: `${what} The rollout is over; another one can be started.`,
      };
    }
    case "delete":
      return {
        title: `Delete ${key} from ${environment}`,
        label: "Delete",
        done: `${key} is deleted`,
        what: "It leaves the list. Its history and its decisions remain; its key stays taken.",
      };
  }
}

// What the decider would still wait for of its evidence; not known: it may be anything.
const evidenceWaits = new Set(["sample-ratio", "control", "relays", "telemetry", "gate"]);

function unprovenWords(a: Assessment | undefined): string {
  const verdict = a?.success?.verdict ?? SuccessVerdict.UNDECIDED;
  const waits = (reason: string) =>
    evidenceWaits.has(reason) || (reason === "success" && verdict === SuccessVerdict.UNDECIDED);
  if (!a || a.waits.some((w) => waits(w.reason))) return "This goes past what is not proven yet. ";
  return verdict === SuccessVerdict.LOST ? "The success metric says that the treatment is worse. " : "";
}

// What guardrails do while a rollout is not over.
function watchWords(r: Rollout): string {
  if (r.guardrails.length === 0) return "No guardrail watches it.";
  if (r.guardrails.every((g) => g.action === Action.HOLD)) return "Guardrails are watched on; none of them shuts it.";
  return "Guardrails are watched on, and shut it if they are violated.";
}
