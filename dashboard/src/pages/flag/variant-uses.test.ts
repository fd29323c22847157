import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { FlagSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import { renameVariant, usesOfVariant } from "./variant-uses";

const flag = () =>
  create(FlagSchema, {
    variants: [{ name: "on" }, { name: "off" }, { name: "spare" }],
    offVariant: "off",
    rules: [
      { id: "a", outcome: { kind: { case: "variant", value: "on" } } },
      { id: "b", outcome: { kind: { case: "split", value: { variants: [{ variant: "on", weight: 1 }] } } } },
    ],
    defaultOutcome: { kind: { case: "variant", value: "off" } },
  });

it("finds where a variant is served", () => {
  expect(usesOfVariant(flag(), "on")).toEqual(["the rule a", "the rule b"]);
  expect(usesOfVariant(flag(), "off")).toEqual(["to everyone else", "while it is off"]);
  expect(usesOfVariant(flag(), "spare")).toEqual([]);
});

it("a variant that gets another name is served as before", () => {
  const f = flag();
  renameVariant(f, 0, "new");
  renameVariant(f, 1, "old");
  expect(usesOfVariant(f, "new")).toEqual(["the rule a", "the rule b"]);
  expect(usesOfVariant(f, "old")).toEqual(["to everyone else", "while it is off"]);
});

it("on the way through a name that another has, nothing changes sides", () => {
  const f = flag();
  renameVariant(f, 2, "on"); // as somebody types "on2"
  expect(usesOfVariant(f, "on")).toEqual(["the rule a", "the rule b"]);
  renameVariant(f, 2, "on2");
  expect(usesOfVariant(f, "on")).toEqual(["the rule a", "the rule b"]);
  expect(usesOfVariant(f, "on2")).toEqual([]);
});

it("a variant that is served is typed through another's name, and through none, and is served as before", () => {
  const f = flag();
  for (const typed of ["o", "of", "off", "off2"]) renameVariant(f, 0, typed);
  expect(usesOfVariant(f, "off2")).toEqual(["the rule a", "the rule b"]);
  for (const typed of ["", "n", "none"]) renameVariant(f, 1, typed);
  expect(usesOfVariant(f, "none")).toEqual(["to everyone else", "while it is off"]);
});
