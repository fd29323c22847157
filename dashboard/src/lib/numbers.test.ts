import { expect, it } from "vitest";
import { count, percent, whole } from "./numbers";

it.each([
  [0, "0%"],
  [1, "100%"],
  [0.5, "50%"],
  [0.123, "12.3%"],
  [0.0123, "1.23%"],
  [0.00123, "0.123%"],
  [0.29, "29%"],
  [1.5, "150%"],
  [1.0004, "100.04%"],
  // What is not all or nothing is not told as if it were.
  [0.9996, "99.96%"],
  [0.9999, "99.99%"],
  [0.99999, "99.999%"],
  [0.9999999, ">99.999%"],
  [0.0001, "0.01%"],
  [0.00001, "0.001%"],
  [1e-7, "<0.001%"],
  // As sums of shares come out.
  [0.1 + 0.2 + 0.7, "100%"],
  [0.7 + 0.1 + 0.2, "100%"],
])("a share of %d is %s", (share, words) => {
  expect(percent(share)).toBe(words);
});

it("a number that is to be compared is told to its last digit", () => {
  expect(count(12_345)).toBe("12.3K");
  expect(whole(12_345)).toBe("12,345");
});
