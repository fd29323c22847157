import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { Comparison, GuardrailAssessmentSchema } from "../gen/tidegate/rollout/v1/decision_pb";
import { Action, RolloutSchema, State, Strategy } from "../gen/tidegate/rollout/v1/rollout_pb";
import { figures } from "./figures";
import { bandWords, changeOfMind, compared, endedStanding, endReason } from "./rollout-words";
import { leastSeconds, stageLadder } from "./stages";
import { fromRollout, nextKey, noStart, problemAt, toRollout } from "./start";

test("a figure has the unit of its comparison", () => {
  expect(compared(Comparison.RATIO, 1.834)).toBe("1.83×");
  expect(compared(Comparison.RATIO, 0.08241)).toBe("0.082×");
  expect(compared(Comparison.RATE_DIFFERENCE, 0.011)).toBe("+1.1 pp");
  expect(compared(Comparison.RATE_DIFFERENCE, -0.004)).toBe("−0.4 pp");
  expect(compared(Comparison.DURATION_DIFFERENCE, 0.012)).toBe("+12 ms");
  expect(bandWords({ comparison: Comparison.RATIO, estimate: 1.3, lower: 0.8, upper: 2.1 })).toBe(
    "1.3× (0.8× to 2.1×)",
  );
  expect(bandWords({ comparison: Comparison.RATIO })).toBeUndefined();
});

test("what would change its mind is said only where something would", () => {
  const g = create(GuardrailAssessmentSchema, { eventsToBreach: 12n });
  const shuts = { name: "errors", action: Action.UNSPECIFIED };
  expect(changeOfMind(g, shuts)).toBe("12 more “errors” events of the treatment in one window would shut it.");
  expect(changeOfMind(g, { ...shuts, action: Action.HOLD })).toBe(
    "12 more “errors” events of the treatment in one window would stop it where it is.",
  );
  expect(changeOfMind(create(GuardrailAssessmentSchema), shuts)).toBeUndefined();
});

test("what is over says who ended it, and does not wait for anything", () => {
  const held = { state: State.COMPLETED, headline: "Held at 50%: 4 of 5 relays serve this step, all 5 must" };
  expect(endReason(held)).toBe("Completed by a person.");
  expect(endReason(held, { actor: "ben@example.com", reason: "done" })).toBe("Completed by ben@example.com: “done”");
  expect(endReason({ state: State.ABORTED, headline: "Held at 1%: paused" })).toBe("Aborted by a person.");
  expect(endReason({ state: State.ABORTED, headline: "" }, { actor: "ann", reason: "" })).toBe(
    "Aborted by ann. Nothing was decided before.",
  );
  expect(endReason({ state: State.ABORTED, headline: "" }, { actor: "ann", reason: "a bug" })).toBe(
    "Aborted by ann: “a bug”. Nothing was decided before.",
  );
  for (const [state, headline] of [
    [State.COMPLETED, "Completed: errors 1.1x: proven"],
    [State.ROLLED_BACK, "Rolled back from 5%: errors 4.9x"],
  ] as const)
    expect(endReason({ state, headline })).toBe(figures(headline));
  for (const said of Object.values(endedStanding)) expect(said.words).not.toContain("yet");
});

test("the ladder knows what is done, when, and what is never reached", () => {
  const r = create(RolloutSchema, {
    stages: [{ weight: 100 }, { weight: 5000, minDwell: { seconds: 30n } }, { weight: 10_000 }],
    holdback: 200,
    guardrails: [{ name: "errors", promotionRatios: [5, 3], margin: { unit: { case: "relative", value: 0.5 } } }],
    status: {
      state: State.RUNNING,
      stage: 1,
      steps: [
        { step: 1n, weight: 100, beganAt: timestampFromMs(0) },
        { step: 2n, weight: 5000, beganAt: timestampFromMs(60_000) },
      ],
    },
  });
  const ladder = stageLadder(r);
  expect(ladder.map((s) => s.standing)).toEqual(["done", "now", "later"]);
  expect(ladder[0]?.left?.getTime()).toBe(60_000);
  expect(ladder[1]?.needs).toEqual(["at least 30 s", "errors proven below 3×"]);
  expect(ladder[2]?.began).toBeUndefined();
  if (r.status) r.status.state = State.ROLLED_BACK;
  expect(stageLadder(r).map((s) => s.standing)).toEqual(["done", "shut", "never"]);
  expect(leastSeconds(r)).toBe(150);
});

test("a form is read as a rollout, and what cannot be read is said where it is", () => {
  const { rollout, problems } = toRollout({
    ...noStart,
    key: "a-1",
    flag: "a",
    treatment: "on",
    stages: [
      { percent: "5%", dwell: "30s", manual: false },
      { percent: "101", dwell: "", manual: false },
      { percent: "50", dwell: "soon", manual: true },
    ],
    guardrails: ["errors: rate < +50% relative", "nonsense"],
  });
  expect(rollout.stages[0]).toMatchObject({ weight: 500, minDwell: { seconds: 30n } });
  expect([...problems.keys()]).toEqual(["guardrails[1]", "stages[1]", "stages[2]"]);
  expect(problemAt(new Map([["guardrails[0].margin", "is required"]]), "guardrails[0]")).toBe("margin is required");
  expect(nextKey("a", (k) => k === "a-1")).toBe("a-2");
});

test("a rollout that is started again is the same", () => {
  const first = { ...noStart, key: "a-1", flag: "a", treatment: "on", strategy: Strategy.FIXED, metric: "purchases" };
  const { rollout } = toRollout(first);
  expect(fromRollout(rollout, "a-1")).toEqual(first);
});
