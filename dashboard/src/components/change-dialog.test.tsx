// @vitest-environment jsdom
import { create } from "@bufbuild/protobuf";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import type { ComponentProps, ReactNode } from "react";
import { afterEach, expect, test, vi } from "vitest";
import { type Frozen, FrozenSchema } from "../gen/tidegate/rollout/v1/decision_pb";
import { byNothing, bySomebody } from "../lib/freeze-words";
import { ChangeDialog } from "./change-dialog";

const { now } = vi.hoisted(() => ({ now: { frozen: [] as unknown[] } }));
vi.mock("../api/transport", () => ({}));
vi.mock("../api/use-environment", () => ({ useSettings: () => ({ data: { settings: undefined } }) }));
vi.mock("../api/use-freeze", () => ({ useFreeze: () => now }));
vi.mock("./dialog", () => ({
  Dialog: ({ children, footer }: { children: ReactNode; footer: ReactNode }) => (
    <form>
      {children}
      {footer}
    </form>
  ),
}));

const person = create(FrozenSchema, { actor: "ada", reason: "checkout is down" });
const window = create(FrozenSchema, { window: "weekend" });

function open(frozen: Frozen[], props: Partial<ComponentProps<typeof ChangeDialog>> = {}) {
  now.frozen = frozen;
  render(
    <ChangeDialog
      title="Turn on"
      environment="production"
      label="Turn on"
      done="It is on"
      run={async () => ({})}
      onClose={() => {}}
      {...props}
    />,
  );
  fireEvent.change(screen.getByLabelText("Why"), { target: { value: "it is needed" } });
}

const writes = (label = "Turn on") => screen.getByText<HTMLButtonElement>(label);
const warned = () => screen.queryByText(/This is refused until that is over/)?.textContent;

afterEach(cleanup);

test("what a freeze refuses is not offered, and what works is said", () => {
  open([person]);
  expect(writes().disabled).toBe(true);
  expect(warned()).toBe("Frozen by ada: checkout is down. This is refused until that is over.");
  expect(screen.getByText(/^Still possible: to turn flags off/)).toBeTruthy();
});

test("it can be proposed all the same", () => {
  open([person], { proposal: () => ({}) });
  fireEvent.click(screen.getByText("Propose or schedule it…"));
  expect(warned()).toBeUndefined();
  expect(writes("Propose").disabled).toBe(false);
});

test.each([
  ["nothing is frozen", [], {}],
  ["it is a kill switch", [person], { unconfirmed: true }],
  ["it is of people", [person], { unprotected: true }],
  ["no freeze refuses it", [person, window], { refusedBy: byNothing }],
  ["only people's freezes refuse it", [window], { refusedBy: bySomebody }],
])("it can be written where %s", (_, frozen, props) => {
  open(frozen, props);
  expect(warned()).toBeUndefined();
  expect(writes().disabled).toBe(false);
});
