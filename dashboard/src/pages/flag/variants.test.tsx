// @vitest-environment jsdom
import { create } from "@bufbuild/protobuf";
import { cleanup, screen } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { enter, showForm, textOf, type } from "../../components/form-of-tests";
import { FlagSchema, ValueType } from "../../gen/tidegate/flag/v1/flag_pb";
import { usesOfVariant } from "./variant-uses";
import { Variants } from "./variants";

afterEach(cleanup);

const show = () => {
  const flag = {
    type: ValueType.STRING,
    variants: [{ name: "on" }, { name: "off" }],
    offVariant: "off",
    rules: [{ id: "a", outcome: { kind: { case: "variant", value: "on" } as const } }],
    defaultOutcome: { kind: { case: "variant", value: "off" } as const },
  };
  const saved = create(FlagSchema, flag);
  return showForm(flag, (mine, edit) => <Variants flag={mine} saved={saved} edit={edit} />);
};

it("a name is typed through another's, and what serves it goes along", () => {
  const shown = show();
  enter("Name", "o");
  type("Name", "ff");
  expect(textOf("Name")).toBe("off");
  expect(screen.getByText("Another variant is called off.")).toBeTruthy();
  type("Name", "2");
  expect(screen.queryByText(/Another variant/)).toBeNull();
  expect(shown.draft.texts).toEqual({});
  expect(shown.draft.mine.variants.map((v) => v.name)).toEqual(["off2", "off"]);
  expect(usesOfVariant(shown.draft.mine, "off2")).toEqual(["the rule a"]);
  expect(usesOfVariant(shown.draft.mine, "off")).toEqual(["to everyone else", "while it is off"]);
});

it("a name that is emptied and typed anew stays the one that is served while it is off", () => {
  const shown = show();
  enter("Name", "", 1);
  expect(screen.getByText("A variant needs a name.")).toBeTruthy();
  type("Name", "none", 1);
  expect(usesOfVariant(shown.draft.mine, "none")).toEqual(["to everyone else", "while it is off"]);
});

it("a name that another has is taken once that one is free", () => {
  const shown = show();
  enter("Name", "on", 1);
  enter("Name", "yes", 0);
  expect(shown.draft.mine.variants.map((v) => v.name)).toEqual(["yes", "on"]);
  expect(shown.draft.texts).toEqual({});
  expect(usesOfVariant(shown.draft.mine, "on")).toEqual(["to everyone else", "while it is off"]);
});
