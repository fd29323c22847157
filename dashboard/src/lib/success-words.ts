import { Comparison } from "../gen/tidegate/rollout/v1/decision_pb";
import { Statistic, type SuccessAssessment, SuccessVerdict } from "../gen/tidegate/rollout/v1/rollout_pb";
import { count, percent } from "./numbers";
import { compared, short, type Tone } from "./rollout-words";

// What a success metric has come to, as a status tells it, or a point of its series.
export type Effect = Pick<SuccessAssessment, "verdict" | "estimate" | "lower" | "upper" | "units">;

// The difference of a success metric: a rate's in percentage points.
export function successFigure(statistic: Statistic, v: number): string {
  return statistic === Statistic.RATE ? compared(Comparison.RATE_DIFFERENCE, v) : compared(Comparison.DIFFERENCE, v);
}

export function successValue(statistic: Statistic, v: number): string {
  return statistic === Statistic.RATE ? percent(v) : short(v);
}

// The verdict of an experiment in honest words.
export function successWords(s: Effect | undefined, statistic: Statistic): string {
  if (!s || s.lower === undefined || s.upper === undefined) return "Undecided: too little was counted to say anything.";
  const between = `between ${successFigure(statistic, s.lower)} and ${successFigure(statistic, s.upper)}`;
  switch (s.verdict) {
    case SuccessVerdict.WON:
      return `The treatment is better: ${between}.`;
    case SuccessVerdict.LOST:
      return `The treatment is worse: ${between}.`;
    default:
      return `Undecided: the difference is ${between}. Zero is still possible.`;
  }
}

// What it came to, of an experiment that is over.
export function endWords(s: Effect | undefined, statistic: Statistic): string {
  if (!s) return "What it came to was not kept with it.";
  if (s.estimate === undefined || s.lower === undefined || s.upper === undefined)
    return "It ended undecided: too little was counted to compare the variants.";
  const effect = `${successFigure(statistic, s.estimate)}, between ${successFigure(statistic, s.lower)} and ${successFigure(statistic, s.upper)}`;
  const of = `${count(s.units)} counted in both arms`;
  switch (s.verdict) {
    case SuccessVerdict.WON:
      return `The treatment was better: ${effect}; ${of}.`;
    case SuccessVerdict.LOST:
      return `The treatment was worse: ${effect}; ${of}.`;
    default:
      return `It ended undecided: ${effect}, so zero was still possible; ${of}.`;
  }
}

export const successVerdicts: Record<SuccessVerdict, string> = {
  [SuccessVerdict.UNSPECIFIED]: "undecided",
  [SuccessVerdict.UNDECIDED]: "undecided",
  [SuccessVerdict.WON]: "better",
  [SuccessVerdict.LOST]: "worse",
};

export const successTones: Record<SuccessVerdict, Tone> = {
  [SuccessVerdict.UNSPECIFIED]: undefined,
  [SuccessVerdict.UNDECIDED]: undefined,
  [SuccessVerdict.WON]: "good",
  [SuccessVerdict.LOST]: "bad",
};

// Where a success metric's interval lies on a line that has 0 in its middle, from 0 to 1.
export function effectPlace(
  s: Pick<Effect, "estimate" | "lower" | "upper"> | undefined,
): { zero: number; from: number; to: number; estimate: number } | undefined {
  if (s?.estimate === undefined || s.lower === undefined || s.upper === undefined) return undefined;
  const reach = Math.max(Math.abs(s.lower), Math.abs(s.upper));
  if (!Number.isFinite(reach) || reach === 0) return undefined;
  const at = (v: number) => 0.5 + (v / reach) * 0.46;
  return { zero: at(0), from: at(s.lower), to: at(s.upper), estimate: at(s.estimate) };
}
