import { expect, it } from "vitest";
import { percentages, readPercent, sharesProblem, sumOf, weightsOf, withPercent, withRest } from "./split";

it.each<[number[], string[]]>([
  [
    [5, 95],
    ["5", "95"],
  ],
  [
    [500, 9500],
    ["5", "95"],
  ],
  [
    [1, 2],
    ["33.333333", "66.666667"],
  ],
  [
    [0, 0],
    ["0", "0"],
  ],
])("percentages of %j", (weights, want) => {
  expect(percentages(weights.map((weight) => ({ variant: "v", weight })))).toEqual(want);
});

it.each<[string, number | undefined]>([
  ["5", 5],
  [" 0.5 % ", 0.5],
  [".25", 0.25],
  ["100", 100],
  ["101", undefined],
  ["-1", undefined],
  ["", undefined],
  ["five", undefined],
])("readPercent(%j)", (text, want) => {
  expect(readPercent(text)).toBe(want);
});

it("sums without the noise of fractions", () => {
  expect(sumOf(["0.1", "0.2", "99.7"])).toBe(100);
  expect(sumOf(["1", "x"])).toBeUndefined();
});

it.each<[string[], number, number[] | undefined]>([
  [["5", "95"], 100, [5, 95]],
  [["5", "95"], 10_000, [500, 9500]],
  [["0.5", "99.5"], 100, [5, 995]],
  [["33.3", "66.7"], 7, [333, 667]],
  [["5", "90"], 100, undefined],
  [["100", "0"], 0, [100, 0]],
])("weightsOf(%j, %d)", (texts, total, want) => {
  expect(weightsOf(texts, total)).toEqual(want);
});

it("a total that grows moves nobody", () => {
  // bucket = (hash * total) >> 32; the treatment is below its weight.
  const treated = (hash: bigint, weight: number, total: number) => (hash * BigInt(total)) >> 32n < BigInt(weight);
  const [before, after] = [weightsOf(["5", "95"], 100), weightsOf(["5", "95"], 10_000)];
  for (let i = 0n; i < 2000n; i++) {
    const hash = (i * 2654435761n) % 2n ** 32n;
    expect(treated(hash, after?.[0] ?? -1, 10_000)).toBe(treated(hash, before?.[0] ?? -1, 100));
  }
});

it("of two, the other is what remains; of more, nobody else moves", () => {
  expect(withPercent(["5", "95"], 0, "12.5")).toEqual(["12.5", "87.5"]);
  expect(withPercent(["5", "95"], 0, "x")).toEqual(["x", "95"]);
  expect(withPercent(["5", "5", "90"], 0, "10")).toEqual(["10", "5", "90"]);
});

it("gives what is missing to one", () => {
  expect(withRest(["10", "5", "90"], 2)).toEqual(["10", "5", "85"]);
  expect(withRest(["90", "20", "1"], 2)).toBeUndefined();
});

it.each<[string[], number, string | undefined]>([
  [["5", "95"], 100, undefined],
  [["33.33333", "66.66667"], 100, undefined],
  [["33.333333", "66.666667"], 100, "A share has at most five digits after the point."],
  // Of weights that say it exactly.
  [["33.333333", "66.666667"], 3, undefined],
  [["5", "90"], 100, "These add up to 95%, not to 100%."],
  [["5", "many"], 100, "Each share must be a number from 0 to 100."],
])("what is wrong with %j of %d", (texts, total, want) => {
  expect(sharesProblem(texts, total)).toBe(want);
  expect(weightsOf(texts, total) === undefined).toBe(want !== undefined);
});
