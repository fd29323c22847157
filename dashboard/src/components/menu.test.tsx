// @vitest-environment jsdom
import { render, screen } from "@testing-library/react";
import { expect, it } from "vitest";
import { Menu } from "./menu";

it("promises no menu of a desktop: what opens are buttons and links", () => {
  render(
    <Menu
      button={(props) => (
        <button type="button" {...props}>
          More
        </button>
      )}
    >
      <button type="button">Dark</button>
    </Menu>,
  );
  const opener = screen.getByText("More");
  expect(opener.getAttribute("aria-haspopup")).toBeNull();
  expect(opener.getAttribute("popovertarget")).toBe(document.querySelector("[popover]")?.id);
});
