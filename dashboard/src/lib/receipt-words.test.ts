import { expect, test } from "vitest";
import { afterWords, missingWords } from "./receipt-words";

test.each([
  [[], 0, true, ""],
  [["edge-1"], 1, false, "waiting for edge-1"],
  [["edge-1"], 1, true, "not: edge-1"],
  [["a", "b", "c", "d"], 4, true, "not: a, b, c, d"],
  [["a", "b", "c", "d", "e"], 5, true, "not: a, b, c, 2 others"],
  [["a", "b"], 40, true, "not: a, b, 38 others"],
])("%j, %i in all", (names, total, last, want) => {
  expect(missingWords(names, total, last)).toBe(want);
});

test("what is there before somebody asks is there already", () => {
  expect(afterWords(0.0004)).toBe("already");
  expect(afterWords(0.25)).toBe("after 250 ms");
});
