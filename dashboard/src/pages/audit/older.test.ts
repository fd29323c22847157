// @vitest-environment jsdom
import { fireEvent, render, screen } from "@testing-library/react";
import { createElement } from "react";
import { expect, it, vi } from "vitest";
import { Older } from "./older";

// All of it is in sight.
class Observer {
  constructor(private readonly seen: (all: { isIntersecting: boolean }[]) => void) {}
  observe() {
    this.seen([{ isIntersecting: true }]);
  }
  disconnect() {}
}
vi.stubGlobal("IntersectionObserver", Observer);

it("loads what is older when its end is seen, and after a failure when somebody asks", () => {
  const more = vi.fn();
  const older = (busy: boolean, failed: boolean) => createElement(Older, { busy, failed, more: () => more() });
  const { rerender } = render(older(false, false));
  expect(more).toHaveBeenCalledTimes(1);
  rerender(older(true, false));
  rerender(older(false, true));
  rerender(older(false, true));
  expect(more).toHaveBeenCalledTimes(1);
  fireEvent.click(screen.getByRole("button", { name: "Show older entries" }));
  expect(more).toHaveBeenCalledTimes(2);
});
