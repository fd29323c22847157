import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { Operator, SegmentSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import { toValue } from "../../lib/values";
import { plain } from "../../lib/words";
import { explainSegment, readKeys, segmentSize } from "./words";

const rule = { clauses: [{ attribute: "plan", operator: Operator.IN, values: [toValue("pro")] }] };

it.each([
  [{}, "Nobody yet: it has no keys, and no rules."],
  [{ included: ["a", "b"] }, "2 users in its list, by `targetingKey`."],
  [{ included: ["a"], keyAttribute: "email" }, "1 user in its list, by `email`."],
  [
    { included: ["a"], rules: [rule], excluded: ["x", "y"] },
    "1 user in its list, by `targetingKey`; and users whose `plan` is `pro`; of the latter not the 2 that are left out.",
  ],
  [
    { rules: [rule, rule, rule, rule] },
    "Users whose `plan` is `pro`; and users whose `plan` is `pro`; and users whose `plan` is `pro`; and those of 1 more rule.",
  ],
])("explainSegment(%j)", (s, want) => {
  expect(plain(explainSegment(create(SegmentSchema, s)))).toBe(want);
});

it("segmentSize says what there is", () => {
  expect(segmentSize({ included: 1200, rules: 1, excluded: 3 })).toBe("1,200 keys, 1 rule, 3 left out");
  expect(segmentSize({ included: 0, rules: 0, excluded: 0 })).toBe("nobody yet");
});

it("readKeys takes what is pasted", () => {
  expect(readKeys("a\nb\r\n \"c d\" ,a;;e\t'f'\n\n")).toEqual(["a", "b", "c d", "e", "f"]);
  expect(readKeys("")).toEqual([]);
});
