import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { FlagSummarySchema } from "../gen/tidegate/control/v1/watch_service_pb";
import { seriesColor, servesWords } from "./flag-words";

it.each<[string, MessageInitShape<typeof FlagSummarySchema>]>([
  ["on", {}],
  ["off", { enabled: false, prerequisites: ["a"], rules: 2 }],
  ["the caller's default", { defaultVariant: "" }],
  ["on, after 2 rules", { rules: 2 }],
  ["on, where a is on and serves what it must; elsewhere off", { prerequisites: ["a"] }],
  [
    "on, after 1 rule, where a and b are on and serve what they must; elsewhere the caller's default",
    { rules: 1, prerequisites: ["a", "b"], offVariant: "" },
  ],
])("what a flag serves: %s", (words, flag) => {
  const usual = { enabled: true, offVariant: "off", defaultVariant: "on" };
  expect(servesWords(create(FlagSummarySchema, { ...usual, ...(flag as object) }))).toBe(words);
});

it("gives what is no variant of the flag, such as the caller's default, a colour of its own", () => {
  expect([0, 5, 6].map(seriesColor)).toEqual(["var(--series-1)", "var(--series-6)", "var(--series-1)"]);
  expect(seriesColor(-1)).toBe("var(--border-strong)");
});
