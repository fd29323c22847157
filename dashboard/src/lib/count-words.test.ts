import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { SampleRatioSchema } from "../gen/tidegate/rollout/v1/decision_pb";
import { Denominator, Statistic, Unit } from "../gen/tidegate/rollout/v1/rollout_pb";
import { countedMeaning, countedOf, rateWords, treatedWords } from "./count-words";

const rate = { statistic: Statistic.RATE, denominator: Denominator.UNSPECIFIED };
const told = { statistic: Statistic.RATE, denominator: Denominator.OBSERVATIONS };
const tail = { statistic: Statistic.QUANTILE, denominator: Denominator.UNSPECIFIED };

it("calls counts what they are of", () => {
  expect(countedOf(rate)).toBe("exposures");
  expect(countedOf(told)).toBe("observations");
  expect(countedOf(tail)).toBe("observations");
  expect(rateWords(109n, 1378n, "exposures")).toBe("7.91% of 1,378 exposures");
  expect(rateWords(0n, 0n, "exposures")).toBe("no exposures");
});

it("says that a rate is not a share of subjects", () => {
  expect(countedMeaning(rate, Unit.SUBJECT)).toBe(
    "An exposure counts once a second for each subject, an event once in 10 min: the rate compares the variants, it is not a share of subjects.",
  );
  expect(countedMeaning(told, Unit.UNSPECIFIED)).toMatch(/^An observation counts once in 10 s for each subject, an/);
  expect(countedMeaning(tail, Unit.SUBJECT)).toBe("An observation counts once in 10 s for each subject.");
  expect(countedMeaning(rate, Unit.REQUEST)).toBe("Each of the exposures counts, and each event.");
});

it("counts distinct subjects where it says subjects", () => {
  const ratio = create(SampleRatioSchema, { subjects: 5346n, observed: 1090 / 5346 });
  expect(treatedWords(ratio, "on")).toMatch(/^At this stage 1,090 subjects had got “on”/);
  expect(treatedWords(undefined, "on")).toBe("");
});
