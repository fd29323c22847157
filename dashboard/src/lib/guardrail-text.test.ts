import { expect, test } from "vitest";
import { Action, Direction, Statistic } from "../gen/tidegate/rollout/v1/rollout_pb";
import { formatGuardrail, parseGuardrail } from "./guardrail-text";

function read(text: string) {
  const parsed = parseGuardrail(text);
  if ("problem" in parsed) throw new Error(parsed.problem);
  return parsed.guardrail;
}

test.each([
  "errors: rate < +5% relative",
  "errors: rate < +0.5pp",
  "slow: p99(checkout-time) < +100ms",
  "slow: p99.9(checkout-time) < +1.5s",
  "purchases: rate > -2% relative, hold",
  "quality: f1(classifier) > 0.8 -0.02",
  "quality: f1 > 0.8",
  "shape: drift < 0.2",
  "shape: drift",
  "errors: rate < +50% relative, of observations, weight 4, hold, by country",
  "errors: rate < +50% relative, ratios 4 2",
])("%s is written as it was read", (text) => {
  const g = read(text);
  expect(`${g.name}: ${formatGuardrail(g)}`).toBe(text);
});

test("the figures are those that were meant", () => {
  const g = read("slow: p99(checkout-time) < +100ms, hold");
  expect(g).toMatchObject({
    name: "slow",
    metric: "checkout-time",
    statistic: Statistic.QUANTILE,
    quantile: 0.99,
    worse: Direction.INCREASE,
    action: Action.HOLD,
  });
  expect(g.margin?.unit).toEqual({ case: "seconds", value: 0.1 });
  expect(read("errors: rate < +5% relative").margin?.unit).toEqual({ case: "relative", value: 0.05 });
});

test.each([
  ["errors", "Write it as NAME"],
  ["errors: rat < +5% relative", "not a statistic"],
  ["errors: rate", "How much worse"],
  ["errors: rate < 5% relative", "After “<” comes"],
  ["errors: rate < +5%", "could be two things"],
  ["errors: rate < +five", "not a margin"],
  ["errors: rate < +1.2.3pp", "not a margin"],
  ["errors: rate < +5pp, weight 0", "not an option"],
  ["errors: rate() < +5pp", "STATISTIC(METRIC)"],
])("%s is refused, and told why", (text, why) => {
  const parsed = parseGuardrail(text);
  expect("problem" in parsed && parsed.problem).toContain(why);
});

test("the ratios that the server fills in are not repeated", () => {
  const g = read("errors: rate < +50% relative");
  g.promotionRatios = [5, 3, 2, 1.5];
  expect(formatGuardrail(g)).toBe("rate < +50% relative");
  g.promotionRatios = [5, 3, 2, 2];
  expect(formatGuardrail(g)).toBe("rate < +50% relative");
  g.promotionRatios = [6, 3, 2, 1.5];
  expect(formatGuardrail(g)).toContain("ratios 6 3 2 1.5");
});
