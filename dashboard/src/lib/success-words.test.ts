import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { Statistic, SuccessAssessmentSchema, SuccessVerdict } from "../gen/tidegate/rollout/v1/rollout_pb";
import { effectPlace, endWords, successWords } from "./success-words";

test("an experiment that knows nothing does not pretend", () => {
  expect(successWords(undefined, Statistic.RATE)).toContain("too little");
  const s = create(SuccessAssessmentSchema, { verdict: SuccessVerdict.UNDECIDED, lower: -0.004, upper: 0.011 });
  expect(successWords(s, Statistic.RATE)).toContain("between −0.4 pp and +1.1 pp");
  const won = create(SuccessAssessmentSchema, { verdict: SuccessVerdict.WON, lower: 0.01, upper: 0.03 });
  expect(successWords(won, Statistic.RATE)).toBe("The treatment is better: between +1 pp and +3 pp.");
});

test("what an experiment came to is told with its interval, and what was counted", () => {
  const s = create(SuccessAssessmentSchema, {
    verdict: SuccessVerdict.WON,
    estimate: 0.02,
    lower: 0.01,
    upper: 0.03,
    units: 12_340n,
  });
  const came = (verdict: SuccessVerdict) => endWords({ ...s, verdict }, Statistic.RATE);
  expect(came(SuccessVerdict.WON)).toBe(
    "The treatment was better: +2 pp, between +1 pp and +3 pp; 12.3K counted in both arms.",
  );
  expect(came(SuccessVerdict.LOST)).toContain("was worse");
  expect(came(SuccessVerdict.UNDECIDED)).toContain("ended undecided: +2 pp, between");
  expect(endWords(create(SuccessAssessmentSchema, { units: 12n }), Statistic.MEAN)).toBe(
    "It ended undecided: too little was counted to compare the variants.",
  );
  // One that ended before results were kept is not said to have had none.
  expect(endWords(undefined, Statistic.RATE)).toBe("What it came to was not kept with it.");
});

test("an interval has its place around 0", () => {
  const place = effectPlace({ estimate: 0.02, lower: -0.01, upper: 0.05 });
  expect(place?.zero).toBe(0.5);
  expect(place?.from).toBeCloseTo(0.408);
  expect(place?.estimate).toBeCloseTo(0.684);
  expect(place?.to).toBeCloseTo(0.96);
  // What is above 0 is wholly at its right.
  expect(effectPlace({ estimate: 3, lower: 2, upper: 4 })?.from).toBeGreaterThan(0.5);
  expect(effectPlace({ lower: 0, upper: 0, estimate: 0 })).toBeUndefined();
  expect(effectPlace(undefined)).toBeUndefined();
});
