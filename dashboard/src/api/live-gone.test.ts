import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { LiveStore } from "./live";

const asked: string[] = [];
let known = (_rollout: string) => false;

vi.mock("./transport", () => ({
  watch: {
    async *watch({ rolloutKey }: { rolloutKey: string }, { signal }: { signal: AbortSignal }) {
      asked.push(rolloutKey);
      if (rolloutKey !== "" && !known(rolloutKey)) throw new ConnectError("no such rollout", Code.NotFound);
      await new Promise((_, fail) => signal.addEventListener("abort", () => fail(signal.reason)));
    },
  },
}));

beforeEach(() => {
  vi.useFakeTimers();
  asked.length = 0;
});
afterEach(() => vi.useRealTimers());

test("a rollout that is gone does not cost the rest of the page", async () => {
  known = () => false;
  const live = new LiveStore();
  live.look("staging", "gone-1");
  await vi.advanceTimersByTimeAsync(5000);
  expect(asked).toEqual(["gone-1", "gone-1", "gone-1", "gone-1", ""]);
  live.close();
});

test("one that was started just now is asked for again", async () => {
  known = () => asked.length > 2;
  const live = new LiveStore();
  live.look("staging", "new-1");
  await vi.advanceTimersByTimeAsync(5000);
  expect(asked).toEqual(["new-1", "new-1", "new-1"]);
  live.close();
});
