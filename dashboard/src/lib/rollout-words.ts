import { Comparison, type GuardrailAssessment, Standing, Verdict } from "../gen/tidegate/rollout/v1/decision_pb";
import { Action, type Guardrail, State, type Status, Strategy } from "../gen/tidegate/rollout/v1/rollout_pb";
import { figures } from "./figures";
import { percent, plural } from "./numbers";

export type Tone = "good" | "warn" | "bad" | "accent" | undefined;

export const stateWords: Record<State, string> = {
  [State.UNSPECIFIED]: "unknown",
  [State.RUNNING]: "running",
  [State.PAUSED]: "paused",
  [State.COMPLETED]: "complete",
  [State.ROLLED_BACK]: "rolled back",
  [State.ABORTED]: "aborted",
};

export const stateTones: Record<State, Tone> = {
  [State.UNSPECIFIED]: undefined,
  [State.RUNNING]: "accent",
  [State.PAUSED]: "warn",
  [State.COMPLETED]: "good",
  [State.ROLLED_BACK]: "bad",
  [State.ABORTED]: undefined,
};

export const strategyWords: Record<Strategy, string> = {
  [Strategy.UNSPECIFIED]: "stages as listed",
  [Strategy.CANARY]: "canary",
  [Strategy.BLUE_GREEN]: "blue-green",
  [Strategy.EXPERIMENT]: "experiment",
  [Strategy.FIXED]: "fixed share",
};

export const strategyMeaning: Record<Strategy, string> = {
  [Strategy.UNSPECIFIED]: "You say which shares, and how long to stay at each.",
  [Strategy.CANARY]: "1, 5, 20, 50, then 100%: each stage is left when the guardrails are proven safe there.",
  [Strategy.BLUE_GREEN]: "Nobody, until a person promotes; then everybody at once, watched, with a small holdback.",
  [Strategy.EXPERIMENT]: "Half and half, until it is known whether the success metric is better.",
  [Strategy.FIXED]: "One share, until a person says otherwise. Guardrails still watch it.",
};

export const verdictWords: Record<Verdict, string> = {
  [Verdict.UNSPECIFIED]: "none",
  [Verdict.HOLD]: "hold",
  [Verdict.ADVANCE]: "widen",
  [Verdict.COMPLETE]: "complete",
  [Verdict.ROLLBACK]: "roll back",
  [Verdict.GIVE_UP]: "give up",
};

export const verdictTones: Record<Verdict, Tone> = {
  [Verdict.UNSPECIFIED]: undefined,
  [Verdict.HOLD]: undefined,
  [Verdict.ADVANCE]: "accent",
  [Verdict.COMPLETE]: "good",
  [Verdict.ROLLBACK]: "bad",
  [Verdict.GIVE_UP]: "warn",
};

export const standingWords: Record<Standing, string> = {
  [Standing.UNSPECIFIED]: "no data yet",
  [Standing.NO_DATA]: "no data yet",
  [Standing.UNPROVEN]: "not proven yet",
  [Standing.SAFE]: "safe",
  [Standing.BREACH]: "violated",
};

export const standingMeaning: Record<Standing, string> = {
  [Standing.UNSPECIFIED]: "Nothing was counted at this stage.",
  [Standing.NO_DATA]: "Nothing was counted at this stage.",
  [Standing.UNPROVEN]: "Neither harm nor safety is proven. It stays at this stage until one of them is.",
  [Standing.SAFE]: "Harm beyond what this stage allows is disproved: the stage may be left.",
  [Standing.BREACH]: "Harm beyond the margin is proven.",
};

export const standingTones: Record<Standing, Tone> = {
  [Standing.UNSPECIFIED]: undefined,
  [Standing.NO_DATA]: undefined,
  [Standing.UNPROVEN]: "warn",
  [Standing.SAFE]: "good",
  [Standing.BREACH]: "bad",
};

// The same of a rollout that is over: nothing will be proven any more.
export const endedStanding: Record<Standing, { words: string; meaning: string }> = {
  [Standing.UNSPECIFIED]: { words: "no data", meaning: "Nothing was counted at its last stage." },
  [Standing.NO_DATA]: { words: "no data", meaning: "Nothing was counted at its last stage." },
  [Standing.UNPROVEN]: { words: "not proven", meaning: "Neither harm nor safety was proven." },
  [Standing.SAFE]: { words: "safe", meaning: "Harm beyond what the stage allowed was disproved." },
  [Standing.BREACH]: { words: "violated", meaning: standingMeaning[Standing.BREACH] },
};

export function isOver(status: Pick<Status, "state"> | undefined): boolean {
  return (status?.state ?? State.RUNNING) > State.PAUSED;
}

// Whether a person ended it. What the decider decided last may be long ago then, and is no reason.
export function endedByPerson({ state, headline }: Pick<Status, "state" | "headline">): boolean {
  return state === State.ABORTED || (state === State.COMPLETED && !headline.startsWith("Completed"));
}

// How it ended: what the decider decided, or that a person ended it, and who and why if that is known.
export function endReason(status: Pick<Status, "state" | "headline">, by?: { actor: string; reason: string }): string {
  const { state, headline } = status;
  if (!endedByPerson(status)) return headline ? figures(headline) : "It ended before the first decision.";
  const deed = state === State.ABORTED ? "Aborted by" : "Completed by";
  const who = `${deed} ${by?.actor || "a person"}`;
  const said = by?.reason ? `${who}: “${by.reason}”` : `${who}.`;
  if (headline) return said;
  return `${said.replace(/”$/, "”.")} Nothing was decided before.`;
}

export function isExperiment(r: { strategy: Strategy; successMetric: string }): boolean {
  return r.strategy === Strategy.EXPERIMENT || r.successMetric !== "";
}

// A weight of 10,000, as a share.
export function share(weight: number): string {
  return percent(weight / 10_000);
}

function signed(text: string, v: number): string {
  return v > 0 ? `+${text}` : text.replace("-", "−");
}

export function short(v: number): string {
  const abs = Math.abs(v);
  return String(Number(abs < 1 ? v.toPrecision(2) : v.toFixed(abs >= 100 ? 0 : abs >= 10 ? 1 : 2)));
}

// A figure of a comparison, with its unit.
export function compared(comparison: Comparison, v: number): string {
  switch (comparison) {
    case Comparison.RATIO:
      return v > 1000 ? "over 1,000×" : `${short(v)}×`;
    case Comparison.RATE_DIFFERENCE:
      return `${signed(short(v * 100), v)} pp`;
    case Comparison.DURATION_DIFFERENCE:
      return Math.abs(v) < 1 ? `${signed(short(v * 1000), v)} ms` : `${signed(short(v), v)} s`;
    case Comparison.PSI:
      return short(v);
    default:
      return signed(short(v), v);
  }
}

export const comparisonWords: Record<Comparison, string> = {
  [Comparison.UNSPECIFIED]: "difference",
  [Comparison.RATIO]: "treatment ÷ control",
  [Comparison.DIFFERENCE]: "treatment − control",
  [Comparison.RATE_DIFFERENCE]: "treatment − control, percentage points",
  [Comparison.SCORE]: "score above what must be reached",
  [Comparison.PSI]: "drift (population stability index)",
  [Comparison.DURATION_DIFFERENCE]: "treatment − control, time",
};

// "1.3× (0.8× to 2.1×)".
export function bandWords(g: {
  comparison: Comparison;
  estimate?: number;
  lower?: number;
  upper?: number;
}): string | undefined {
  if (g.estimate === undefined) return undefined;
  const estimate = compared(g.comparison, g.estimate);
  if (g.lower === undefined || g.upper === undefined) return estimate;
  return `${estimate} (${compared(g.comparison, g.lower)} to ${compared(g.comparison, g.upper)})`;
}

// What one more window would have to hold to change the decider's mind.
export function changeOfMind(
  g: GuardrailAssessment,
  { name, action }: Pick<Guardrail, "name" | "action">,
): string | undefined {
  if (g.standing === Standing.BREACH || g.eventsToBreach === undefined) return undefined;
  const would = action === Action.HOLD ? "stop it where it is" : "shut it";
  return `${plural(Number(g.eventsToBreach), `more “${name}” event`)} of the treatment in one window would ${would}.`;
}

export function detectableWords(g: GuardrailAssessment): string | undefined {
  if (g.detectable === undefined) return undefined;
  return `At this traffic, ten minutes find ${g.comparison === Comparison.RATIO ? "a ratio" : "a difference"} of ${compared(g.comparison, g.detectable)}.`;
}
