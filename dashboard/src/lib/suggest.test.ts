import { expect, test } from "vitest";
import { suggest } from "./suggest";

test("the first few that have in them what was typed, in their order", () => {
  const all = Array.from({ length: 10_000 }, (_, i) => `Flag-${i}`);
  expect(suggest(all, "")).toEqual(all.slice(0, 50));
  expect(suggest(all, " flag-999", 3)).toEqual(["Flag-999", "Flag-9990", "Flag-9991"]);
  expect(suggest(all, "nothing")).toEqual([]);
});
