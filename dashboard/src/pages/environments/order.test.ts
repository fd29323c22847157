import { describe, expect, test } from "vitest";
import { chains, direction } from "./order";

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

describe("what is probably promoted", () => {
  const dev = { name: "dev", from: "", guarded: false };
  const staging = { name: "staging", from: "dev", guarded: false };
  const production = { name: "production", from: "", guarded: true };

  test("goes in the order of the environments, to the one that is looked at if there are several", () => {
    const last = { ...production, from: "staging" };
    expect(direction([last, staging, dev], "staging")).toEqual({ from: "dev", to: "staging" });
    expect(direction([last, staging, dev], "production")).toEqual({ from: "staging", to: "production" });
    expect(direction([last, staging], "dev")).toEqual({ from: "staging", to: "production" });
  });

  test("goes to the guarded one where no order is set, whichever is looked at", () => {
    expect(direction([production, dev], "production")).toEqual({ from: "dev", to: "production" });
    expect(direction([dev, production], "dev")).toEqual({ from: "dev", to: "production" });
    expect(direction([production, dev, { ...staging, from: "" }], "dev")).toEqual({ from: "", to: "production" });
  });

  test("is not known else", () => {
    expect(direction([dev, { ...staging, from: "" }], "dev")).toEqual({ from: "", to: "" });
  });
});
