import { expect, it } from "vitest";
import { hasComments } from "./comments";

it.each([
  ["a: 1\n", false],
  ["# why\na: 1\n", true],
  ["a: 1 # why\n", true],
  ["a: [1, # why\n 2]\n", true],
  ["a: b#c\n", false],
  ['a: "# no"\n', false],
  ["a: '\n # no'\n", false],
  ["a: |\n  # no\n", false],
  ["a: |  # why\n  text\n", true],
  ["a: >\n  text\n# why\n", true],
])("%j: %s", (text, want) => {
  expect(hasComments(text)).toBe(want);
});
