// @vitest-environment jsdom
import { expect, it } from "vitest";
import { fieldOf } from "./use-check";

it.each([
  ["flags[0].flag.rules[1].clauses[0].values", "rules[1].clauses[0].values"],
  ["flag.owner", "owner"],
  ["flags[my.flag].prerequisites[0].flag_key", "prerequisites[0].flag_key"],
  ["segments[0].segment.key_attribute", "key_attribute"],
  ["flags[my.flag]", ""],
  ["flag", ""],
  ["default_outcome.variant", "default_outcome.variant"],
])("%s is %s", (path, want) => {
  expect(fieldOf(path)).toBe(want);
});
