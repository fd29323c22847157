import { expect, test } from "vitest";
import { evidence, evidenceNumber, ticks } from "./evidence";

test("evidence lies on a logarithmic scale, from none to the threshold", () => {
  expect(evidence(Math.log(8.3), Math.log(1000))?.words).toBe("8.3 of 1,000");
  expect(evidence(Math.log(10), Math.log(1000))?.position).toBeCloseTo(1 / 3);
  expect(evidence(-3, Math.log(1000))).toEqual({ position: 0, reached: false, words: "0 of 1,000" });
  expect(evidence(Math.log(1001), Math.log(1000))?.reached).toBe(true);
  expect(evidence(Math.log(900_000), Math.log(1000))?.words).toBe("900K of 1,000");
  expect(evidence(800, Math.log(1000))?.words).toBe("far over 1,000");
  expect(evidence(undefined, Math.log(1000))).toBeUndefined();
  expect(evidence(1, 0)).toBeUndefined();
});

test("numbers stay readable, however large", () => {
  expect(evidenceNumber(5300)).toBe("5,300");
  expect(evidenceNumber(2_500_000)).toBe("2.5M");
  expect(evidenceNumber(Math.exp(800))).toBe("over 1,000 trillion");
});

test("each power of ten has a mark, but the threshold itself", () => {
  expect(ticks(Math.log(1000)).map((t) => t.toFixed(3))).toEqual(["0.333", "0.667"]);
  expect(ticks(Math.log(5))).toEqual([]);
});
