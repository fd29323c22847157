// @vitest-environment jsdom
import { useLayoutEffect } from "react";
import { createRoot } from "react-dom/client";
import { expect, test, vi } from "vitest";
import { at } from "./pages";

test("a page is shown whose code comes between its first drawing and what follows that", async () => {
  const page = at("/x", async () => ({ default: () => "it is here" }));
  function Meanwhile() {
    useLayoutEffect(() => void page.ahead());
    return <page.page />;
  }
  const container = document.createElement("div");
  createRoot(container).render(<Meanwhile />);
  await vi.waitFor(() => expect(container.textContent).toBe("it is here"));
});
