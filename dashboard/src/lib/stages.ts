import { type Rollout, State, Statistic } from "../gen/tidegate/rollout/v1/rollout_pb";
import { dateOf, secondsOf, span } from "./time";

export type StageView = {
  index: number;
  weight: number;
  standing: "done" | "now" | "later" | "never" | "shut";
  // When it came into force, and when it was left.
  began?: Date;
  left?: Date;
  // What it takes to leave it.
  needs: string[];
};

// The weight that is in force at a stage: the listed one, less what the holdback keeps.
export function stageWeight(r: Rollout, stage: { weight: number }): number {
  return Math.min(stage.weight, 10_000 - (r.holdback ?? 0));
}

// The stages of a rollout as a ladder: which are done, and what each needs.
export function stageLadder(r: Rollout): StageView[] {
  const status = r.status;
  const steps = status?.steps ?? [];
  const state = status?.state ?? State.RUNNING;
  const last = r.stages.length - 1;
  const current = status?.stage ?? 0;
  return r.stages.map((stage, index) => {
    const weight = stageWeight(r, stage);
    const at = steps.findIndex((s) => s.weight === weight);
    const began = at < 0 || (index > current && state !== State.COMPLETED) ? undefined : dateOf(steps[at]?.beganAt);
    const standing = standingOf(state, index, current);
    return {
      index,
      weight: stage.weight,
      standing,
      began,
      left: standing === "now" || !began ? undefined : (dateOf(steps[at + 1]?.beganAt) ?? dateOf(status?.endedAt)),
      needs: needs(r, index, last),
    };
  });
}

function standingOf(state: State, index: number, current: number): StageView["standing"] {
  if (state === State.COMPLETED || index < current) return "done";
  if (state === State.RUNNING || state === State.PAUSED) return index === current ? "now" : "later";
  if (index > current) return "never";
  return state === State.ROLLED_BACK ? "shut" : "done";
}

function needs(r: Rollout, index: number, last: number): string[] {
  const stage = r.stages[index];
  const out: string[] = [];
  if (!stage) return out;
  const dwell = secondsOf(index === last ? (r.bake ?? stage.minDwell) : stage.minDwell);
  if (dwell) out.push(`at least ${span(dwell)}`);
  if (stage.manual) out.push("a person promotes");
  for (const g of r.guardrails) {
    if (g.statistic === Statistic.DRIFT) continue;
    const ratio = g.promotionRatios[Math.min(index, g.promotionRatios.length - 1)];
    out.push(
      ratio && g.margin?.unit.case === "relative" ? `${g.name} proven below ${ratio}×` : `${g.name} proven safe`,
    );
  }
  return out;
}

// How long all stages take at least.
export function leastSeconds(r: Pick<Rollout, "stages" | "bake">): number {
  return r.stages.reduce((sum, s, i) => {
    const d = i === r.stages.length - 1 ? (r.bake ?? s.minDwell) : s.minDwell;
    return sum + (secondsOf(d) ?? 60);
  }, 0);
}
