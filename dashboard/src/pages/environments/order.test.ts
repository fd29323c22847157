import { expect, test } from "vitest";
import { chains } from "./order";

test("environments in the order in which flags go through them", () => {
  expect(
    chains([
      { name: "production", from: "staging" },
      { name: "dev", from: "" },
      { name: "staging", from: "dev" },
      { name: "sandbox", from: "" },
    ]),
  ).toEqual([["dev", "staging", "production"]]);
});

test("two that come after the same one are two chains", () => {
  expect(
    chains([
      { name: "dev", from: "" },
      { name: "us", from: "dev" },
      { name: "eu", from: "dev" },
    ]),
  ).toEqual([
    ["dev", "eu"],
    ["dev", "us"],
  ]);
});

test("an environment that is gone, or not to be seen, begins nothing", () => {
  expect(chains([{ name: "production", from: "staging" }])).toEqual([]);
});
