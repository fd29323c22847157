import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { FlagSchema, Operator, SegmentSchema } from "../gen/tidegate/flag/v1/flag_pb";
import { fieldWords } from "./field-words";
import { plain } from "./words";

const flag = create(FlagSchema, {
  variants: [{ name: "on" }, { name: "" }],
  prerequisites: [{ flagKey: "base" }, {}],
  rules: [
    {
      id: "staff",
      clauses: [
        { operator: Operator.IN_SEGMENT, negate: true },
        { attribute: "plan", operator: Operator.IN },
      ],
      outcome: { kind: { case: "split", value: { variants: [{ variant: "on" }] } } },
    },
    { clauses: [{}] },
  ],
});
const segment = create(SegmentSchema, { rules: [{ clauses: [{ attribute: "plan", operator: Operator.ENDS_WITH }] }] });

it.each([
  ["rules[0].clauses[0].values", "Rule `staff`, condition 1 (is not in the segment)"],
  ["rules[0].clauses[1].values[2]", "Rule `staff`, condition 2 (`plan` is), value 3"],
  ["rules[1].clauses[0].attribute", "Rule 2, condition 1, attribute"],
  ["rules[1].clauses[0].operator", "Rule 2, condition 1, operator"],
  ["rules[0].outcome.split.variants[0].weight", "Rule `staff`, what it serves, share 1"],
  ["rules[0].outcome.variant", "Rule `staff`, what it serves"],
  ["rules[9].id", "Rule 10, id"],
  ["rules", "Rules"],
  ["default_outcome.split.bucket_by", "What everyone else gets, what splits go by"],
  ["variants[0].value", "Variant `on`, value"],
  ["variants[1].name", "Variant 2, name"],
  ["off_variant", "What it serves while it is off"],
  ["prerequisites[0].variants[1]", "Prerequisite `base`, variant 2"],
  ["prerequisites[1].flag_key", "Prerequisite 2, flag"],
  ["expected_lifetime", "Expected lifetime"],
  ["tags[1]", "Tag 2"],
  ["rules[0].expression.and[1]", "Rule `staff`, expression"],
  ["metadata.why", "Metadata"],
  ["", ""],
])("%s: %s", (path, want) => {
  expect(plain(fieldWords(flag, path))).toBe(want);
});

it("of a segment", () => {
  expect(plain(fieldWords(segment, "rules[0].clauses[0].values"))).toBe("Rule 1, condition 1 (`plan` ends with)");
  expect(plain(fieldWords(segment, "included[4]"))).toBe("Key 5 of those in it");
  expect(plain(fieldWords(segment, "key_attribute"))).toBe("Key attribute");
});
