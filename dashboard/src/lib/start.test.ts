import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import {
  Denominator,
  Direction,
  RolloutSchema,
  Statistic,
  Strategy,
  Unit,
} from "../gen/tidegate/rollout/v1/rollout_pb";
import { fromRollout, noStart, type Start, toRollout } from "./start";

const full: Start = {
  ...noStart,
  key: "cart-2",
  flag: "cart",
  rule: "beta",
  treatment: "on",
  strategy: Strategy.EXPERIMENT,
  stages: [{ percent: "50", dwell: "10m", manual: false }],
  metric: "purchases",
  statistic: Statistic.RATE,
  better: Direction.DECREASE,
  denominator: Denominator.OBSERVATIONS,
  alpha: "1",
  relevant: "2.5",
  giveUpAfter: "14d",
  unit: Unit.REQUEST,
  holdback: "3",
  bake: "2h",
  budget: "0.5",
  edgeAfter: "30s",
  owner: "shop",
  description: "a new cart",
  notify: ["on-call"],
};

describe("a rollout as it is written", () => {
  test("has every field that it was given", () => {
    const { rollout, problems } = toRollout(full);
    expect(problems).toEqual(new Map());
    expect(rollout).toMatchObject({
      holdback: 300,
      bake: { seconds: 7200n },
      falseRollbackBudget: 0.005,
      edgeBreaker: { disabled: false, after: { seconds: 30n } },
      success: {
        denominator: Denominator.OBSERVATIONS,
        alpha: 0.01,
        relevantDifference: 0.025,
        giveUpAfter: { seconds: 1_209_600n },
      },
    });
  });

  test("starts again with all of it", () => {
    expect(fromRollout(toRollout(full).rollout, "cart-2")).toEqual(full);
    const unguarded = { ...full, edgeBreaker: false, edgeAfter: "" };
    expect(fromRollout(toRollout(unguarded).rollout, "cart-2")).toEqual(unguarded);
  });

  test("leaves to the server what is left empty", () => {
    const { rollout } = toRollout({ ...noStart, key: "a", flag: "b", treatment: "on" });
    expect(rollout.holdback).toBeUndefined();
    expect(rollout.bake).toBeUndefined();
    expect(rollout.falseRollbackBudget).toBe(0);
    expect(rollout.edgeBreaker).toMatchObject({ disabled: false });
    expect(rollout.edgeBreaker?.after).toBeUndefined();
    expect(rollout.success).toBeUndefined();
  });

  test("keeps what only some have out of the others", () => {
    expect(toRollout({ ...full, strategy: Strategy.CANARY }).rollout.success?.giveUpAfter).toBeUndefined();
    expect(toRollout({ ...full, statistic: Statistic.MEAN }).rollout.success?.denominator).toBe(
      Denominator.UNSPECIFIED,
    );
  });

  test.each([
    ["holdback", { holdback: "a bit" }],
    ["bake", { bake: "soon" }],
    ["false_rollback_budget", { budget: "-1" }],
    ["edge_breaker.after", { edgeAfter: "10" }],
    ["success.alpha", { alpha: "5 of 100" }],
    ["success.give_up_after", { giveUpAfter: "two weeks" }],
  ])("says where %s cannot be read", (field, change) => {
    const { problems } = toRollout({ ...full, ...change });
    expect([...problems.keys()]).toEqual([field]);
  });

  test("a share of nothing is not the same as none", () => {
    expect(toRollout({ ...full, holdback: "0%" }).rollout.holdback).toBe(0);
    expect(fromRollout(create(RolloutSchema, { holdback: 0 }), "a").holdback).toBe("0");
  });
});
