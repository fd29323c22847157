// @vitest-environment jsdom
import { useLayoutEffect } from "react";
import { createRoot } from "react-dom/client";
import { expect, test, vi } from "vitest";
import { at } from "./at";

const Hello = () => <p>hello</p>;

// Its code is asked for, by whoever does so first, when the page is rendered already.
function Late({ page, ahead }: { page: React.ComponentType; ahead?: () => Promise<void> }) {
  useLayoutEffect(() => void ahead?.(), [ahead]);
  const Page = page;
  return <Page />;
}

test.each([
  ["by itself", false],
  ["ahead, between its first look and its next", true],
])("a page whose code is loaded %s is shown", async (_, early) => {
  const { page, ahead } = at("/hello", async () => ({ default: Hello }));
  const place = document.createElement("div");
  const root = createRoot(place);
  root.render(<Late page={page} ahead={early ? ahead : undefined} />);
  await vi.waitFor(() => expect(place.textContent).toBe("hello"), 500);
  root.unmount();
});
