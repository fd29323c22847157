// @vitest-environment jsdom
import { cleanup, fireEvent, screen } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import type { Flag, Split } from "../../gen/tidegate/flag/v1/flag_pb";
import { enter, showForm } from "../form-of-tests";
import { SplitEditor } from "./split-editor";

afterEach(cleanup);

const splitOf = (f: Flag) => f.defaultOutcome?.kind.value as Split;
const variants = ["a", "b", "c"];

function show(...weights: number[]) {
  const value = { variants: weights.map((weight, i) => ({ variant: variants[i] ?? "", weight })) };
  const shown = showForm({ defaultOutcome: { kind: { case: "split", value } } }, (flag, edit) => (
    <SplitEditor
      split={splitOf(flag)}
      path="split"
      variants={variants}
      change={(how) => edit((f) => how(splitOf(f)))}
    />
  ));
  return {
    texts: () => shown.draft.texts,
    weights: () => splitOf(shown.draft.mine).variants.map((v) => v.weight),
  };
}

it("shares that no weights can say are told at their place", () => {
  const shown = show(50, 50);
  enter("Share of a in per cent", "33.333333");
  expect(screen.getByText("A share has at most five digits after the point.")).toBeTruthy();
  expect(Object.keys(shown.texts())).toEqual(["split"]);
  enter("Share of a in per cent", "33.33333");
  expect(screen.queryByRole("status")).toBeNull();
  expect(shown.texts()).toEqual({});
  expect(shown.weights()).toEqual([3333333, 6666667]);
});

it("thirds are well, and stay so when they are moved", () => {
  const shown = show(1, 1, 1);
  expect(screen.queryByRole("status")).toBeNull();
  fireEvent.click(screen.getByLabelText("Move a down"));
  expect(screen.queryByRole("status")).toBeNull();
  expect(shown.weights()).toEqual([1, 1, 1]);
  expect(shown.texts()).toEqual({});
});
