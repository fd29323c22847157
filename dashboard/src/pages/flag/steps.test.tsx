// @vitest-environment jsdom
import { create } from "@bufbuild/protobuf";
import { cleanup, render } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { FlagExplanation_Decided, FlagExplanationSchema } from "../../gen/tidegate/control/v1/explanation_pb";
import { FlagSteps } from "./steps";

afterEach(cleanup);

const rules = [{ id: "staff" }];
const split = { variant: "on", total: 100n };

it.each([
  ["Everyone gets on.", {}],
  ["No rule matched: everyone else gets on.", { rules }],
  ["The split gives on.", { split }],
  ["No rule matched: the split of everyone else gives on.", { rules, split }],
])("%s", (want, more) => {
  const explanation = { decided: FlagExplanation_Decided.DEFAULT, served: "on", ...more };
  const shown = render(<FlagSteps explanation={create(FlagExplanationSchema, explanation)} />);
  expect(shown.container.textContent).toContain(want);
});
