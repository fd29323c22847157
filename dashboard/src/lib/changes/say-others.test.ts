import { fromJson } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { EnvironmentSettingsSchema } from "../../gen/tidegate/control/v1/environment_pb";
import { SegmentSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import type { Change } from "../merge";
import { change, clause, names, said } from "./said";

const ofSegment: [string, Change, string[]][] = [
  ["key", change("key", "a", "b"), ["key"]],
  ["description", change("description", "a", "b"), ["Description: `b`, was `a`."]],
  ["included", change("included[u1]", undefined, "u1"), ["Key `u1` was added to its list."]],
  ["excluded", change("excluded[u1]", "u1"), ["Key `u1` was taken out of those left out."]],
  ["key_attribute", change("key_attribute", undefined, "org"), ["Its lists are of: `org`."]],
  ["owner", change("owner", undefined, "a"), ["Owner: `a`."]],
  [
    "rules",
    change("rules[0]", undefined, { clauses: [clause] }),
    ["Rule 1 was added: users whose `email` ends with `@x.io`."],
  ],
  [
    "rules",
    change("rules[0].clauses[0].values", ["a"], ["b"]),
    ['Condition 1 of rule 1, values: `["b"]`, was `["a"]`.'],
  ],
  ["rules", change("rules", [{ clauses: [clause] }], []), ["rules"]],
];

describe("every field of a segment", () => {
  test.each(ofSegment)("%s: %j", (_, c, words) => expect(said({ kind: "segment" }, c)).toEqual(words));

  test("is here", () => expect(new Set(ofSegment.map(([field]) => field))).toEqual(names(SegmentSchema)));

  test("conditions of a segment that is known are told as one", () => {
    const after = fromJson(SegmentSchema, { rules: [{ clauses: [clause] }] });
    expect(said({ kind: "segment", after }, change("rules[0].clauses[0].values", ["@y.io"], ["@x.io"]))).toEqual([
      "Rule 1 is about users whose `email` ends with `@x.io`; was about users whose `email` ends with `@y.io`.",
    ]);
  });
});

const ofSettings: [string, Change, string[]][] = [
  ["protected", change("protected", false, true), ["Protected: yes, was no."]],
  ["protected", change("protected", true), ["Protected: no, was yes."]],
  ["flag_policy", change("flag_policy", `(5000 bytes of JSON, SHA-256 ${"0f".repeat(32)})`), ["flag_policy"]],
  [
    "flag_policy",
    change("flag_policy", undefined, { require_owner: true, explanation: "wiki/flags" }),
    ["New flags must have an owner: yes, was no. What people are told of new flags: `wiki/flags`."],
  ],
  [
    "flag_policy",
    change("flag_policy.key_prefixes", ["a-", "b-"]),
    ["Keys of new flags begin with: anything, was `a-`, `b-`."],
  ],
  ["flag_policy", change("flag_policy", { require_owner: true, brand_new: 1 }), ["flag_policy"]],
  ["approval", change("approval.approvals", 1, 2), ["How many others must approve a change: 2, was 1."]],
  ["promotion", change("promotion.from", undefined, "staging"), ["Comes after: `staging`."]],
  ["promotion", change("promotion.required", false, true), ["What is written must be as there: yes, was no."]],
  [
    "freeze_windows",
    change("freeze_windows[nights]", { name: "nights" }),
    ["Freeze window `nights` was removed.", "freeze_windows[nights]"],
  ],
  ["file_sources", change("file_sources[repo].location", "a", "b"), ["file_sources[repo].location"]],
];

describe("every field of an environment's settings", () => {
  test.each(ofSettings)("%s: %j", (_, c, words) => expect(said({ kind: "settings" }, c)).toEqual(words));

  test("is here", () => expect(new Set(ofSettings.map(([field]) => field))).toEqual(names(EnvironmentSettingsSchema)));
});
