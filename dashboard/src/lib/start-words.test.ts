import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { Action, RolloutSchema, Strategy } from "../gen/tidegate/rollout/v1/rollout_pb";
import { startWords } from "./start-words";

const minutes = (n: number) => ({ seconds: BigInt(n * 60) });

const canary: MessageInitShape<typeof RolloutSchema> = {
  control: "off",
  treatment: "on",
  strategy: Strategy.CANARY,
  stages: [
    { weight: 100, minDwell: minutes(1) },
    { weight: 2_000, minDwell: minutes(5) },
    { weight: 10_000, minDwell: minutes(10) },
  ],
  holdback: 200,
  bake: minutes(20),
  guardrails: [{ name: "errors" }, { name: "slow" }, { name: "drift", action: Action.HOLD }],
};

const words = (change: MessageInitShape<typeof RolloutSchema>, rules = 0) =>
  startWords(create(RolloutSchema, { ...canary, ...change } as MessageInitShape<typeof RolloutSchema>), rules).join(
    "\n",
  );

test("a canary: its stages, what shuts it, and how long it takes", () => {
  expect(words({})).toBe(
    `At once, 1% of everyone get “on”, for 1 min at least, then 20% for 5 min, then 98% for 20 min, while 2% keep “off” to compare with; then all of them get “on”.
A stage is left when its guardrails are proven safe there: with little traffic that takes longer.
Shut within seconds if “errors” or “slow” is proven worse than allowed: everyone gets “off” again. “drift” only stops it.
About 26 min in all, if all is well.`,
  );
});

test("whom it moves, and no others", () => {
  expect(words({}, 1)).toContain("At once, 1% of everyone whom no rule matches get “on”");
  expect(words({}, 1)).toContain("than allowed: everyone whom no rule matches gets “off” again");
  expect(words({ rule: "beta" }, 1)).toContain("1% of everyone whom the rule “beta” matches get “on”");
});

test("blue-green waits for a person", () => {
  const said = words({ stages: [{ weight: 0, manual: true }, { weight: 10_000 }], holdback: 0, guardrails: [] });
  expect(said).toContain("At once, nobody gets “on” yet, when a person promotes it, 100% for 20 min.");
  expect(said).toContain("Nothing watches it");
  expect(said).toContain("as long as people take");
});

test("what a person alone moves", () => {
  const said = words({ strategy: Strategy.FIXED, stages: [{ weight: 5_000, manual: true }], holdback: 0 });
  expect(said).toContain("It goes on only when a person says so.");
  expect(said).not.toContain("A stage is left");
});

test("an experiment ends with what it is for, or its time", () => {
  const experiment = {
    strategy: Strategy.EXPERIMENT,
    stages: [{ weight: 5_000 }],
    holdback: 0,
    success: { metric: "purchases", giveUpAfter: { seconds: 1_209_600n } },
  };
  expect(words(experiment)).toContain("It runs until it is known whether “purchases” gets better, for 14 d at most.");
  expect(words(experiment)).not.toContain("in all");
  expect(words({ success: { metric: "purchases" } })).toContain("that does not hold it up");
});
