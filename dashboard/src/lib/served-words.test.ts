import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { FlagSummarySchema } from "../gen/tidegate/control/v1/watch_service_pb";
import { FlagSchema } from "../gen/tidegate/flag/v1/flag_pb";
import { State } from "../gen/tidegate/rollout/v1/rollout_pb";
import { audience, endedWords, nowWords, shareWords } from "./served-words";
import { plain } from "./words";

const rollout = (rule = "") => ({ rule, control: "off", treatment: "on" });
const summary = (init: MessageInitShape<typeof FlagSummarySchema> = {}) =>
  create(FlagSummarySchema, { enabled: true, offVariant: "none", ...(init as object) });

it("whom a rollout moves", () => {
  expect(audience("", 0)).toBe("everyone");
  expect(audience("", 2)).toBe("everyone whom no rule matches");
  // Of a flag that is not to be seen.
  expect(audience("", undefined)).toBe("everyone whom no rule matches");
  expect(audience("beta", 2)).toBe("everyone whom the rule “beta” matches");
});

describe("the share that is served", () => {
  const running = { state: State.RUNNING, weight: 2_000 };
  it.each([
    ["of everyone", rollout(), running, summary(), "20% get `on`, the others `off`."],
    [
      "of a rule",
      rollout("beta"),
      running,
      summary({ rules: 1 }),
      "20% of everyone whom the rule “beta” matches get `on`, the others `off`.",
    ],
    [
      "none yet",
      rollout(),
      { state: State.RUNNING, weight: 0 },
      summary({ rules: 1 }),
      "0% get `on`: everyone whom no rule matches gets `off`.",
    ],
    ["all", rollout(), { state: State.PAUSED, weight: 10_000 }, summary(), "100% get `on`."],
    [
      "where a prerequisite is met",
      rollout(),
      running,
      summary({ prerequisites: ["a", "b"] }),
      "20% get `on`, the others `off`, where `a` and `b` are on and serve what they must; elsewhere `none`.",
    ],
    [
      "none: the flag is off",
      rollout("beta"),
      running,
      summary({ rules: 1, enabled: false }),
      "Off: everyone gets `none`. When the flag is on again, 20% of everyone whom the rule “beta” matches get `on`, the others `off`.",
    ],
    [
      "none: the flag is off, and has nothing to serve",
      rollout(),
      running,
      summary({ enabled: false, offVariant: "" }),
      "Off: everyone gets the caller's own default. When the flag is on again, 20% get `on`, the others `off`.",
    ],
    ["of a flag that is not to be seen", rollout("beta"), running, undefined, /^20% of everyone whom the rule/],
    // What is over says what was, whatever became of the flag.
    [
      "complete",
      rollout(),
      { state: State.COMPLETED, weight: 10_000 },
      summary({ enabled: false }),
      "100% when it ended: everyone got `on`.",
    ],
    [
      "shut",
      rollout("beta"),
      { state: State.ROLLED_BACK, weight: 0 },
      summary(),
      "0% when it ended: everyone whom the rule “beta” matched got `off`.",
    ],
  ])("%s", (_, r, status, flag, want) => {
    const { big, words } = shareWords(r, status, flag);
    expect(big + plain(words)).toMatch(want);
  });
});

it("how a rollout ended", () => {
  expect(endedWords(rollout(), State.COMPLETED, 0)).toBe("Complete: everyone got “on”");
  expect(endedWords(rollout("beta"), State.ROLLED_BACK, 1)).toBe(
    "Shut: everyone whom the rule “beta” matched got “off” again",
  );
  expect(endedWords(rollout(), State.ABORTED, 1)).toBe("Aborted: everyone whom no rule matched got “off” again");
});

it.each([
  ["", { defaultOutcome: { kind: { case: "variant" as const, value: "on" } } }, "Now everyone gets `on`."],
  [
    "",
    {
      rules: [{ id: "beta" }],
      prerequisites: [{ flagKey: "a", variants: ["on"] }],
      defaultOutcome: {
        kind: {
          case: "split" as const,
          value: {
            variants: [
              { variant: "on", weight: 0 },
              { variant: "off", weight: 1 },
            ],
          },
        },
      },
    },
    "Now everyone whom no rule matches gets `off` (100%), where `a` is on and serves what it must; elsewhere the caller's default.",
  ],
  [
    "beta",
    { rules: [{ id: "beta", outcome: { kind: { case: "variant" as const, value: "x" } } }] },
    "Now everyone whom the rule “beta” matches gets `x`.",
  ],
  ["beta", {}, "The flag has no rule “beta” any more."],
  ["beta", { enabled: false, offVariant: "none" }, "Now the flag is off: everyone gets `none`."],
])("what is served since: %#", (rule, flag, want) => {
  const init = { enabled: true, ...flag } as MessageInitShape<typeof FlagSchema>;
  expect(plain(nowWords(rule, create(FlagSchema, init)))).toBe(want);
});
