import { type DescMessage, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import {
  ClauseSchema,
  FlagSchema,
  OutcomeSchema,
  PrerequisiteSchema,
  RuleSchema,
  SplitSchema,
  VariantSchema,
  WeightedVariantSchema,
} from "../../gen/tidegate/flag/v1/flag_pb";
import type { Change } from "../merge";
import { change, clause, names, said } from "./said";
import type { Subject } from "./say";

const flag: Subject = { kind: "flag" };
const inStaff = { operator: "OPERATOR_IN_SEGMENT", values: ["staff"] };
const split = (on: number, off: number) => ({
  split: {
    variants: [
      { variant: "on", weight: on },
      { variant: "off", weight: off },
    ],
  },
});

// Every field of a flag by its path, and what is said of its change; a path is what stays as it is.
const ofFlag: [string, Change, string[]][] = [
  ["key", change("key", "a", "b"), ["key"]],
  ["description", change("description", undefined, "For all"), ["Description: `For all`."]],
  ["type", change("type", "VALUE_TYPE_BOOLEAN", "VALUE_TYPE_DOUBLE"), ["Type: number, was boolean."]],
  ["enabled", change("enabled", false, true), ["Turned on."]],
  ["enabled", change("enabled", true, false), ["Turned off."]],
  ["off_variant", change("off_variant", "off"), ["Served while it is off: the caller's own default, was `off`."]],
  ["owner", change("owner", "checkout", "payments"), ["Owner: `payments`, was `checkout`."]],
  ["owner", change("owner", "checkout"), ["Owner: none, was `checkout`."]],
  ["tags", change("tags[a]b]", undefined, "a]b"), ["Tag `a]b` was added."]],
  ["tags", change("tags", ["a", "b"], ["b", "a"]), ["tags"]],
  ["metadata", change("metadata[team]", { a: 1 }), ['Metadata `team`: none, was `{"a":1}`.']],
  [
    "bucketing_version",
    change("bucketing_version", "BUCKETING_VERSION_2", "BUCKETING_VERSION_3"),
    ["Bucketing version: `3`, was `2`."],
  ],
  ["client_visible", change("client_visible", false, true), ["Keys of clients may evaluate it."]],
  ["client_visible", change("client_visible", true), ["Keys of clients may not evaluate it."]],
  ["kind", change("kind", undefined, "FLAG_KIND_RELEASE"), ["Kind: release."]],
  ["expected_lifetime", change("expected_lifetime", "86400s", "172800s"), ["Expected lifetime: 2 d, was 1 d."]],
  ["expected_lifetime", change("expected_lifetime", "86400.5s", "172800s"), ["expected_lifetime"]],
  [
    "variants",
    change("variants[on]", undefined, { name: "on", value: true }),
    ["Variant `on` was added, with the value `true`."],
  ],
  ["variants", change("variants[on]", { name: "on", value: "x" }), ["Variant `on` was removed; its value was `x`."]],
  ["variants", change("variants", ["a", "b"], ["b", "a"]), ["The variants are in the order `b`, `a`, were `a`, `b`."]],
  [
    "prerequisites",
    change("prerequisites[f]", undefined, { flag_key: "f", variants: ["a", "b"] }),
    ["It now needs `f` to serve `a` or `b`."],
  ],
  [
    "prerequisites",
    change("prerequisites[f]", { flag_key: "f", variants: ["a"] }),
    ["It no longer needs `f` to serve `a`."],
  ],
  ["prerequisites", change("prerequisites", ["a", "b"], ["b", "a"]), ["prerequisites"]],
  [
    "rules",
    change("rules[staff]", undefined, { id: "staff", clauses: [inStaff], outcome: { variant: "on" } }),
    ["Rule `staff` was added: it serves `on` to users who are in the segment `staff`."],
  ],
  [
    "rules",
    change("rules[r]", { id: "r", description: "half", clauses: [clause], outcome: split(1, 1) }),
    ["Rule `r` was removed: it served `on` (50%) or `off` (50%) to users whose `email` ends with `@x.io` (“half”)."],
  ],
  [
    "rules",
    change("rules[r]", undefined, { id: "r", expression: { "==": [1, 1] }, outcome: { variant: "on" } }),
    ["Rule `r` was added: it serves `on` to whoever its expression matches.", "rules[r]"],
  ],
  ["rules", change("rules", ["a", "b"], ["b", "a"]), ["The rules are in the order `b`, `a`, were `a`, `b`."]],
  [
    "default_outcome",
    change("default_outcome", { variant: "off" }, split(500, 9500)),
    ["Where no rule matches, it serves `on` (5%) or `off` (95%) in place of `off`."],
  ],
  ["default_outcome", change("default_outcome", { expression: 1 }, { expression: 2 }), ["default_outcome"]],
];

describe("every field of a flag", () => {
  test.each(ofFlag)("%s: %j", (_, c, words) => expect(said(flag, c)).toEqual(words));

  test("is here", () => {
    expect(new Set(ofFlag.map(([field]) => field))).toEqual(names(FlagSchema));
  });
});

// The same of what is in it.
const within: [DescMessage, string, Change, string[]][] = [
  [VariantSchema, "name", change("variants[on].name", "on", "x"), ["variants[on].name"]],
  [VariantSchema, "value", change("variants[a].b].value", 1, 2), ["The value of `a].b`: `2`, was `1`."]],
  [PrerequisiteSchema, "flag_key", change("prerequisites[f].flag_key", "f", "g"), ["prerequisites[f].flag_key"]],
  [
    PrerequisiteSchema,
    "variants",
    change("prerequisites[f].variants", ["a"], ["a", "b"]),
    ["It needs `f` to serve `a` or `b`; before, `f` to serve `a`."],
  ],
  [
    PrerequisiteSchema,
    "variants",
    change("prerequisites[f].variants[b]", undefined, "b"),
    ["It is also enough that `f` serves `b`."],
  ],
  [RuleSchema, "id", change("rules[r].id", "r", "s"), ["rules[r].id"]],
  [RuleSchema, "description", change("rules[r].description", "a", "b"), ["Description of rule `r`: `b`, was `a`."]],
  [
    RuleSchema,
    "clauses",
    change("rules[r].clauses", [clause], [inStaff]),
    ["Rule `r` is about users who are in the segment `staff`; was about users whose `email` ends with `@x.io`."],
  ],
  [
    RuleSchema,
    "clauses",
    change("rules[r].clauses[1]", undefined, inStaff),
    ["Condition 2 of rule `r` was added: users who are in the segment `staff`."],
  ],
  [
    RuleSchema,
    "outcome",
    change("rules[r].outcome", { variant: "a" }, { variant: "b" }),
    ["Rule `r` serves `b` in place of `a`."],
  ],
  [RuleSchema, "expression", change("rules[r].expression.in[1]", 1, 2), ["rules[r].expression.in[1]"]],
  [
    ClauseSchema,
    "attribute",
    change("rules[r].clauses[0].attribute", "a", "b"),
    ["Condition 1 of rule `r`, attribute: `b`, was `a`."],
  ],
  [
    ClauseSchema,
    "operator",
    change("rules[r].clauses[0].operator", "OPERATOR_IN", "OPERATOR_CONTAINS"),
    ["Condition 1 of rule `r`, operator: `CONTAINS`, was `IN`."],
  ],
  [
    ClauseSchema,
    "values",
    change("rules[r].clauses[0].values", ["a"], ["b"]),
    ['Condition 1 of rule `r`, values: `["b"]`, was `["a"]`.'],
  ],
  [
    ClauseSchema,
    "negate",
    change("rules[r].clauses[0].negate", false, true),
    ["Condition 1 of rule `r`, negate: `true`, was `false`."],
  ],
  [
    OutcomeSchema,
    "variant",
    change("default_outcome.variant", "a", "b"),
    ["Where no rule matches, it serves `b` in place of `a`."],
  ],
  [OutcomeSchema, "split", change("default_outcome.split", undefined, split(1, 1).split), ["default_outcome.split"]],
  [OutcomeSchema, "expression", change("default_outcome.expression", undefined, 1), ["default_outcome.expression"]],
  [
    SplitSchema,
    "variants",
    change("default_outcome.split.variants", ["a", "b"], ["b", "a"]),
    ["default_outcome.split.variants"],
  ],
  [
    SplitSchema,
    "bucket_by",
    change("rules[r].outcome.split.bucket_by", "a", "b"),
    ["rules[r].outcome.split.bucket_by"],
  ],
  [SplitSchema, "salt", change("default_outcome.split.salt", undefined, "x"), ["default_outcome.split.salt"]],
  [
    SplitSchema,
    "bucketing_version",
    change("default_outcome.split.bucketing_version", "BUCKETING_VERSION_2", "BUCKETING_VERSION_3"),
    ["default_outcome.split.bucketing_version"],
  ],
  [
    WeightedVariantSchema,
    "variant",
    change("default_outcome.split.variants[a].variant", "a", "b"),
    ["default_outcome.split.variants[a].variant"],
  ],
  [
    WeightedVariantSchema,
    "weight",
    change("default_outcome.split.variants[a].weight", 1, 2),
    ["Weight of `a` where no rule matches: `2`, was `1`."],
  ],
  [
    WeightedVariantSchema,
    "weight",
    change("rules[r].outcome.split.variants[a].weight", 1, 2),
    ["Weight of `a` in rule `r`: `2`, was `1`."],
  ],
];

describe("every field of what is in a flag", () => {
  test.each(within)("%s", (_, __, c, words) => expect(said(flag, c)).toEqual(words));

  test("is here", () => {
    for (const schema of new Set(within.map(([s]) => s)))
      expect(new Set(within.filter(([s]) => s === schema).map(([, field]) => field))).toEqual(names(schema));
  });
});

const known = (m: Record<string, JsonValue>): Subject => ({
  kind: "flag",
  after: fromJson(FlagSchema, { enabled: true, ...m }),
});
const weights = (on: [number, number], off: [number, number], at = "default_outcome") => [
  change(`${at}.split.variants[on].weight`, ...on),
  change(`${at}.split.variants[off].weight`, ...off),
];

describe("of a flag that is known, what the server tells field by field is told as one", () => {
  test.each<[string, Record<string, JsonValue>, Change[], string[]]>([
    [
      "shares",
      { defaultOutcome: split(500, 9500) },
      weights([100, 500], [9900, 9500]),
      ["Serves `on` to 5% in place of 1%, `off` to the rest."],
    ],
    [
      "shares after rules",
      { rules: [{ id: "r", outcome: split(1, 3) }], defaultOutcome: split(500, 9500) },
      [...weights([100, 500], [9900, 9500]), change("rules[r].outcome.split.variants[off].weight", 1, 3)],
      [
        "Where no rule matches, it serves `on` to 5% in place of 1%, `off` to the rest.",
        "Rule `r` serves `on` to 25% in place of 50%, `off` to the rest.",
      ],
    ],
    [
      "a split in place of a variant",
      { defaultOutcome: split(1, 3) },
      [change("default_outcome.variant", "off"), change("default_outcome.split", undefined, split(1, 3).split)],
      ["Serves `on` (25%) or `off` (75%) in place of `off`."],
    ],
    [
      "a third variant",
      {
        defaultOutcome: {
          split: {
            variants: [
              { variant: "a", weight: 1 },
              { variant: "b", weight: 1 },
              { variant: "c", weight: 2 },
            ],
          },
        },
      },
      [
        change("default_outcome.split.variants[a].weight", 3, 1),
        change("default_outcome.split.variants[c]", undefined, { variant: "c", weight: 2 }),
      ],
      ["Serves `a` (25%), `b` (25%) or `c` (50%) in place of `a` (75%) or `b` (25%)."],
    ],
    [
      "shares and a salt: the salt has no words",
      { defaultOutcome: { split: { ...split(1, 3).split, salt: "x" } } },
      [
        change("default_outcome.split.variants[off].weight", 1, 3),
        change("default_outcome.split.salt", undefined, "x"),
      ],
      [
        "Serves `on` (25%) or `off` (75%) in place of `on` (50%) or `off` (50%).",
        "default_outcome.split.variants[off].weight",
        "default_outcome.split.salt",
      ],
    ],
    [
      "weights that share as before",
      { defaultOutcome: split(2, 2) },
      weights([1, 2], [1, 2]),
      ["default_outcome.split.variants[on].weight", "default_outcome.split.variants[off].weight"],
    ],
    [
      "what does not fit the flag",
      { defaultOutcome: split(700, 9300) },
      weights([100, 500], [9900, 9500]),
      [
        "Weight of `on` where no rule matches: `500`, was `100`.",
        "Weight of `off` where no rule matches: `9500`, was `9900`.",
      ],
    ],
    [
      "a condition",
      { rules: [{ id: "r", clauses: [clause, inStaff] }] },
      [change("rules[r].clauses[0].values", ["@y.io"], ["@x.io"]), change("rules[r].clauses[1]", undefined, inStaff)],
      [
        "Rule `r` is about users whose `email` ends with `@x.io` and who are in the segment `staff`; was about users whose `email` ends with `@y.io`.",
      ],
    ],
    [
      "the first condition went: the server tells it by place",
      { rules: [{ id: "r", clauses: [inStaff] }] },
      [
        change("rules[r].clauses[0].attribute", "email"),
        change("rules[r].clauses[0].operator", "OPERATOR_ENDS_WITH", "OPERATOR_IN_SEGMENT"),
        change("rules[r].clauses[0].values", ["@x.io"], ["staff"]),
        change("rules[r].clauses[1]", inStaff),
      ],
      [
        "Rule `r` is about users who are in the segment `staff`; was about users whose `email` ends with `@x.io` and who are in the segment `staff`.",
      ],
    ],
    [
      "more values than a sentence names",
      { rules: [{ id: "r", clauses: [{ ...clause, values: ["1", "2", "3", "4", "5"] }] }] },
      [change("rules[r].clauses[0].values", ["1"], ["1", "2", "3", "4", "5"])],
      [
        "Rule `r` is about users whose `email` ends with `1`, `2`, `3` or 2 others; was about users whose `email` ends with `1`.",
        "rules[r].clauses[0].values",
      ],
    ],
  ])("%s", (_, after, changes, words) => expect(said(known(after), ...changes)).toEqual(words));
});

test("a share that is rounded is told as it is, too, and one of a flag that is off is not said to be served", () => {
  expect(said(known({ defaultOutcome: split(999_997, 3) }), ...weights([9900, 999_997], [100, 3]))).toEqual([
    "Serves `on` (>99.999%) or `off` (<0.001%) in place of `on` (99%) or `off` (1%).",
    "default_outcome.split.variants[on].weight",
    "default_outcome.split.variants[off].weight",
  ]);
  expect(
    said(known({ enabled: false, defaultOutcome: split(500, 9500) }), ...weights([100, 500], [9900, 9500])),
  ).toEqual(["Serves `on` to 5% in place of 1%, `off` to the rest, once it is on."]);
});

test("a flag that was made is not said to serve in place of something; one that was deleted changes nothing", () => {
  expect(
    said(flag, change("enabled", undefined, false), change("default_outcome", undefined, { variant: "off" })),
  ).toEqual(["It is off.", "Where no rule matches, it serves `off`."]);
  expect(said(flag, change("enabled", true), change("owner", "a"))).toEqual(["enabled", "owner"]);
});

test("what is abbreviated, long, or not known stays as it is", () => {
  const cut = `(5000 bytes of JSON, SHA-256 ${"0f".repeat(32)})`;
  const paths = (...c: Change[]) => expect(said(flag, ...c)).toEqual(c.map((one) => one.path));
  paths(change("description", "a", cut), change("rules[r]", undefined, cut), change("owner", "x".repeat(500), "a"));
  paths({ path: "(12 more)", before: "", after: "" }, change("brand_new", 1, 2), change("rules[r].brand_new", 1, 2));
  const cutOff = { path: "(1 more)", before: "", after: "" };
  expect(
    said(known({ defaultOutcome: split(500, 9500) }), ...weights([100, 500], [9900, 9500]).slice(0, 1), cutOff),
  ).toEqual(["Weight of `on` where no rule matches: `500`, was `100`.", "(1 more)"]);
  paths(change("default_outcome.variant", "off"), cutOff);
  paths(change("rules[r]", undefined, { id: "r", brand_new: 1 }), change("type", undefined, "VALUE_TYPE_NEW"));
});
