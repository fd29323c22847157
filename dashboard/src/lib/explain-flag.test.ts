import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { FlagSchema } from "../gen/tidegate/flag/v1/flag_pb";
import { explainFlag } from "./explain-flag";
import { plain } from "./words";

const clause = (attribute: string, operator: string, values: JsonValue[], negate = false) => ({
  attribute,
  operator: `OPERATOR_${operator}`,
  values,
  negate,
});
const split = (...shares: [string, number][]) => ({
  split: { variants: shares.map(([variant, weight]) => ({ variant, weight })) },
});
const on = { enabled: true, offVariant: "off", defaultOutcome: { variant: "off" } };
const staff = { id: "staff", clauses: [clause("email", "ENDS_WITH", ["@tidegate.io"])], outcome: { variant: "on" } };

describe("explainFlag", () => {
  it.each<[string, JsonValue, string]>([
    ["off", { offVariant: "off" }, "It is off: everyone gets `off`."],
    ["off, with nothing to serve", {}, "It is off: everyone gets the caller's own default."],
    ["the same for everyone", on, "Serves `off` to everyone."],
    ["nothing to serve", { enabled: true }, "Serves the caller's own default to everyone."],
    [
      "a split",
      { ...on, defaultOutcome: split(["on", 5], ["off", 95]) },
      "Serves `on` (5%) or `off` (95%) to everyone.",
    ],
    [
      "nearly all",
      { ...on, defaultOutcome: split(["on", 9_999], ["off", 1]) },
      "Serves `on` (99.99%) or `off` (0.01%) to everyone.",
    ],
    [
      "a rule, and a share of others",
      {
        ...on,
        rules: [
          staff,
          { id: "ca", clauses: [clause("country", "IN", ["CA"])], outcome: split(["on", 500], ["off", 9500]) },
        ],
      },
      "Serves `on` to users whose `email` ends with `@tidegate.io`; else `on` to 5% of users whose `country` is `CA`, `off` to the rest of them; everyone else gets `off`.",
    ],
    [
      "several clauses, a negation, a segment, a number",
      {
        ...on,
        rules: [
          {
            id: "r",
            clauses: [
              clause("plan", "IN", ["free", "trial"], true),
              clause("", "IN_SEGMENT", ["beta"]),
              clause("age", "GREATER_THAN_OR_EQUAL", [18]),
              clause("device", "EXISTS", [], true),
              clause("targetingKey", "STARTS_WITH", ["u-"]),
            ],
            outcome: { variant: "on" },
          },
        ],
      },
      "Serves `on` to users whose `plan` is not `free` or `trial`, who are in the segment `beta`, whose `age` is at least `18`, whose `device` is not known and whose key starts with `u-`; everyone else gets `off`.",
    ],
    [
      "prerequisites",
      {
        ...on,
        prerequisites: [
          { flagKey: "a", variants: ["on"] },
          { flagKey: "b", variants: ["x", "y"] },
        ],
      },
      "Only where `a` is on and serves `on` and `b` is on and serves `x` or `y`: serves `off` to everyone; elsewhere `off`.",
    ],
    [
      "expressions, and a rule for everyone",
      {
        ...on,
        rules: [
          { id: "e", expression: { "==": [1, 1] }, outcome: { expression: { var: "x" } } },
          { id: "all", outcome: { split: { variants: [{ variant: "on", weight: 1 }], bucketBy: "jobId" } } },
        ],
      },
      "Serves what its expression names to whoever its expression matches; else `on` (100%) (by `jobId`) to everyone; everyone else gets `off`.",
    ],
    [
      "many rules",
      { ...on, rules: [staff, { ...staff, id: "b" }, { ...staff, id: "c" }, { ...staff, id: "d" }] },
      `Serves ${Array(3).fill("`on` to users whose `email` ends with `@tidegate.io`").join("; else ")}; then one more rule; everyone else gets \`off\`.`,
    ],
    [
      "many values",
      {
        ...on,
        rules: [{ id: "r", clauses: [clause("c", "IN", ["a", "b", "c", "d", "e"])], outcome: { variant: "on" } }],
      },
      "Serves `on` to users whose `c` is `a`, `b`, `c` or 2 others; everyone else gets `off`.",
    ],
  ])("%s", (_, json, want) => {
    expect(plain(explainFlag(fromJson(FlagSchema, { key: "k", ...(json as object) } as JsonValue)))).toBe(want);
  });
});
