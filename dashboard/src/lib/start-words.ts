import { Action, type Rollout, type Stage, Strategy } from "../gen/tidegate/rollout/v1/rollout_pb";
import { share } from "./rollout-words";
import { audience } from "./served-words";
import { leastSeconds, stageWeight } from "./stages";
import { secondsOf, span } from "./time";

// What a rollout will do, in sentences, from how the server would start it, and how many rules
// its flag has.
export function startWords(r: Rollout, rules: number | undefined): string[] {
  const whom = audience(r.rule, rules);
  return [stagesWords(r, whom), advanceWords(r), harmWords(r, whom), endWords(r), successWords(r)].filter(
    (s) => s !== "",
  );
}

function stagesWords(r: Rollout, whom: string): string {
  const last = r.stages.length - 1;
  const parts = r.stages.map((stage, i) => {
    const weight = stageWeight(r, stage);
    const time = `for ${span(stageSeconds(r, stage, i))}`;
    if (i === 0)
      return weight === 0
        ? `At once, nobody gets “${r.treatment}” yet`
        : `At once, ${share(weight)} of ${whom} get “${r.treatment}”, ${time} at least`;
    const when = r.stages[i - 1]?.manual ? "when a person promotes it, " : "then ";
    return `${when}${share(weight)} ${time}`;
  });
  const kept =
    r.holdback && (r.stages[last]?.weight ?? 0) > 10_000 - r.holdback
      ? `, while ${share(r.holdback)} keep “${r.control}” to compare with`
      : "";
  const whole = r.stages[last]?.weight === 10_000 && kept !== "" ? `; then all of them get “${r.treatment}”` : "";
  return `${parts.join(", ")}${kept}${whole}.`;
}

function stageSeconds(r: Rollout, stage: Stage, i: number): number {
  return secondsOf(i === r.stages.length - 1 ? (r.bake ?? stage.minDwell) : stage.minDwell) ?? 60;
}

function advanceWords(r: Rollout): string {
  if (r.stages.every((s) => s.manual)) return "";
  if (r.guardrails.length === 0) return "";
  return "A stage is left when its guardrails are proven safe there: with little traffic that takes longer.";
}

function harmWords(r: Rollout, whom: string): string {
  const named = (action: boolean) =>
    r.guardrails.filter((g) => (g.action === Action.HOLD) === action).map((g) => `“${g.name}”`);
  const shutting = named(false);
  const holding = named(true);
  const out: string[] = [];
  if (shutting.length > 0)
    out.push(
      `Shut within seconds if ${shutting.join(" or ")} is proven worse than allowed: ${whom} gets “${r.control}” again.`,
    );
  if (holding.length > 0) out.push(`${holding.join(" and ")} only ${holding.length === 1 ? "stops" : "stop"} it.`);
  if (out.length === 0) out.push("Nothing watches it: it is shut by a person alone.");
  return out.join(" ");
}

function endWords(r: Rollout): string {
  if (r.strategy === Strategy.EXPERIMENT) return "";
  const manual = r.stages.filter((s) => s.manual).length;
  if (manual === r.stages.length) return "It goes on only when a person says so.";
  const least = span(leastSeconds(r));
  return manual > 0
    ? `At least ${least} in all, and as long as people take to promote it.`
    : `About ${least} in all, if all is well.`;
}

function successWords(r: Rollout): string {
  const metric = r.success?.metric;
  if (!metric) return "";
  if (r.strategy !== Strategy.EXPERIMENT)
    return `It is told whether “${metric}” gets better; that does not hold it up.`;
  const end = secondsOf(r.success?.giveUpAfter);
  return `It runs until it is known whether “${metric}” gets better${end ? `, for ${span(end)} at most` : ""}.`;
}
