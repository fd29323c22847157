// @vitest-environment jsdom
import { create } from "@bufbuild/protobuf";
import { act, cleanup, render } from "@testing-library/react";
import { useEffect } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { RelaySchema, WaitAppliedResponseSchema } from "../gen/tidegate/control/v1/fleet_service_pb";
import { Receipt } from "./receipt";
import { ToastProvider, useToast } from "./toast";

const { waitApplied } = vi.hoisted(() => ({ waitApplied: vi.fn() }));
vi.mock("../api/transport", () => ({ fleet: { waitApplied } }));

const lacking = create(WaitAppliedResponseSchema, {
  applied: 4,
  total: 5,
  last: true,
  missing: [create(RelaySchema, { instanceId: "edge-5", region: "ap-south" })],
});
const whole = create(WaitAppliedResponseSchema, { applied: 5, total: 5, reached: true, last: true });

function Says() {
  const say = useToast();
  useEffect(() => {
    say(
      "good",
      <>
        It is off
        <Receipt environment="production" revision={7n} />
      </>,
    );
  }, [say]);
  return null;
}

const pass = (ms: number) => act(() => vi.advanceTimersByTimeAsync(ms));
const shown = () => document.querySelector(".toast");

async function switchOff() {
  render(
    <ToastProvider>
      <Says />
    </ToastProvider>,
  );
  await pass(10);
}

beforeEach(() => vi.useFakeTimers());
afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

test("while a relay lacks it, the receipt warns and stays; when it has it, it says so and goes", async () => {
  waitApplied.mockImplementation(async function* () {
    yield lacking;
  });
  await switchOff();
  expect(shown()?.className).toContain("warn");
  expect(shown()?.textContent).toContain("edge-5 (ap-south): not connected");
  await pass(120_000);
  expect(shown()?.className).toContain("warn");
  waitApplied.mockImplementation(async function* () {
    yield whole;
  });
  await pass(5100);
  expect(shown()?.className).toContain("good");
  expect(shown()?.textContent).toContain("5 of 5 relays have it.");
  await pass(6000);
  expect(shown()).toBeNull();
});

test("where nobody can be asked, it is not said to be well", async () => {
  waitApplied.mockImplementation(() => {
    throw new Error("away");
  });
  await switchOff();
  await pass(60_000);
  expect(shown()?.className).toContain("warn");
  expect(shown()?.textContent).toContain("It is not known which relays have it.");
});
