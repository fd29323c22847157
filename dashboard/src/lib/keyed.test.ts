import { expect, it } from "vitest";
import { keyed, nothingKeyed } from "./keyed";

const three = keyed(nothingKeyed, ["a", "b", "c"]);

it.each<[string, string[], number[]]>([
  ["nothing changed", ["a", "b", "c"], [0, 1, 2]],
  ["one is moved", ["b", "c", "a"], [1, 2, 0]],
  ["two are changed about", ["b", "a", "c"], [1, 0, 2]],
  ["one is renamed", ["a", "bb", "c"], [0, 1, 2]],
  ["one is renamed as another is called", ["a", "a", "c"], [0, 1, 2]],
  ["one is put in between", ["a", "new", "b", "c"], [0, 3, 1, 2]],
  ["one is gone", ["a", "c"], [0, 2]],
  ["all are others", ["x", "y"], [3, 4]],
])("%s", (_, names, want) => {
  expect(keyed(three, names).keys).toEqual(want);
});

it("of two with the same name, each keeps its key while it is renamed", () => {
  const twice = keyed(three, ["a", "a", "c"]);
  expect(keyed(twice, ["a", "ab", "c"]).keys).toEqual([0, 1, 2]);
  expect(keyed(twice, ["a", "c"]).keys).toEqual([0, 2]);
});

it("a key is given once", () => {
  const less = keyed(three, ["a"]);
  expect(keyed(less, ["a", "b"]).keys).toEqual([0, 3]);
});
