import type { SampleRatio } from "../gen/tidegate/rollout/v1/decision_pb";
import { Denominator, type Guardrail, Statistic, Unit } from "../gen/tidegate/rollout/v1/rollout_pb";
import { percent, whole } from "./numbers";

// What is counted, and what it is called wherever it is shown: exposures and observations, never
// subjects, of whom each counts again and again.

export type Counted = "exposures" | "observations";

type Metric = Pick<Guardrail, "statistic" | "denominator">;

// What a metric's counts are of.
export function countedOf({ statistic, denominator }: Metric): Counted {
  return statistic === Statistic.RATE && denominator !== Denominator.OBSERVATIONS ? "exposures" : "observations";
}

// How often a subject counts in them, and so what their quotient is not.
export function countedMeaning(metric: Metric, unit: Unit): string {
  const of = countedOf(metric);
  if (unit === Unit.REQUEST) return `Each of the ${of} counts, and each event.`;
  const once = of === "exposures" ? "An exposure counts once a second" : "An observation counts once in 10 s";
  if (metric.statistic === Statistic.MEAN || metric.statistic === Statistic.QUANTILE)
    return `${once} for each subject.`;
  return `${once} for each subject, an event once in 10 min: the rate compares the variants, it is not a share of subjects.`;
}

// How many distinct subjects had the treatment: each relay counts its own.
export function treatedWords(s: SampleRatio | undefined, treatment: string): string {
  if (!s || s.subjects === 0n) return "";
  const treated = Math.round(s.observed * Number(s.subjects));
  return `At this stage ${whole(treated)} subjects had got “${treatment}”, by what relays counted: one who came by two of them is in it twice.`;
}

// A rate and what it is of.
export function rateWords(events: bigint, all: bigint, of: Counted): string {
  return all > 0n ? `${percent(Number(events) / Number(all))} of ${whole(all)} ${of}` : `no ${of}`;
}
