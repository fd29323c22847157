// @vitest-environment jsdom
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { modalDialogs } from "../../lib/modal-dialogs";
import { SecretDialog } from "./secret-dialog";

const closed = vi.fn();

beforeEach(() => {
  modalDialogs();
  closed.mockReset();
  render(<SecretDialog title="The secret" secret="tgk_1" onClose={closed} />);
});
afterEach(cleanup);

test("Escape and the cross ask first, and the secret is still there", () => {
  fireEvent(document.querySelector("dialog") as Element, new Event("cancel", { cancelable: true }));
  expect(closed).not.toHaveBeenCalled();
  screen.getByText("tgk_1");
  screen.getByText("Have you kept it? You will not see it again");
  fireEvent.click(screen.getByRole("button", { name: "Close" }));
  expect(closed).not.toHaveBeenCalled();
  fireEvent.click(screen.getByRole("button", { name: "Close without it" }));
  expect(closed).toHaveBeenCalledOnce();
});

test("a browser that closes it all the same does not take the secret away", async () => {
  const dialog = document.querySelector("dialog") as HTMLDialogElement;
  dialog.open = false;
  fireEvent(dialog, new Event("close"));
  await vi.waitFor(() => expect(dialog.open).toBe(true));
  expect(closed).not.toHaveBeenCalled();
});

test("who has kept it is not asked", () => {
  fireEvent.click(screen.getByRole("button", { name: "I have kept it" }));
  expect(closed).toHaveBeenCalledOnce();
});
