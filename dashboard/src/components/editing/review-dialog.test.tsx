// @vitest-environment jsdom
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import type { ComponentProps } from "react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { modalDialogs } from "../../lib/modal-dialogs";
import { code } from "../../lib/words";
import { ReviewDialog } from "./review-dialog";

vi.mock("../toast", () => ({ useToast: () => () => {} }));
vi.mock("../../api/use-environment", () => ({ useSettings: () => ({ data: { settings: {} } }) }));
vi.mock("../../api/use-freeze", () => ({ useFreeze: () => undefined }));

beforeEach(() => {
  modalDialogs();
});
afterEach(cleanup);

it("what is wrong is told in words, and nothing is said of what differs", () => {
  const props = {
    environment: "dev",
    what: "web.a",
    sentence: ["Serves…"],
    state: { behind: false },
    check: {
      current: true,
      changes: [],
      problems: new Map(),
      problem: {
        message: "flags[web.a].rules[0].clauses[0].values: is empty; give at least one value",
        violations: [],
      },
      toMend: [{ where: ["Rule ", code("staff"), ", condition 1"], problem: "is empty; give at least one value" }],
    },
    write: async () => undefined,
    proposal: () => ({}),
    onClose: () => {},
  } as unknown as ComponentProps<typeof ReviewDialog>;
  render(<ReviewDialog {...props} />);
  fireEvent.change(screen.getByLabelText("Why"), { target: { value: "a test" } });
  const text = document.body.textContent;
  expect(text).toContain("1 thing to mend before it can be saved");
  expect(text).toContain("Rule staff, condition 1: is empty; give at least one value.");
  expect(text).not.toContain("flags[");
  expect(text).not.toContain("Nothing differs");
  expect(screen.getByText<HTMLButtonElement>("Save").disabled).toBe(true);
});
