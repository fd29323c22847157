// @vitest-environment jsdom
import { create } from "@bufbuild/protobuf";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, renderHook } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Live, LiveStore } from "../../api/live";
import { LiveContext } from "../../api/use-live";
import { FlagSummarySchema } from "../../gen/tidegate/control/v1/watch_service_pb";
import { readQuery } from "./query";
import { useStale } from "./use-stale";

const asked = vi.hoisted(() => vi.fn(async () => ({ flags: [] })));
vi.mock("../../api/transport", () => ({ flags: { listStaleFlags: asked }, watch: {} }));

beforeEach(() => {
  vi.useFakeTimers();
  asked.mockClear();
});
afterEach(() => vi.useRealTimers());

test("what is stale is asked for again when flags change, a burst of them once, and not when others do", async () => {
  const listeners = new Set<() => void>();
  let now = new LiveStore().read();
  const live = {
    read: () => now,
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  } as LiveStore;
  const become = (change: Partial<Live>) =>
    act(() => {
      now = { ...now, ...change };
      for (const listener of listeners) listener();
    });
  const queries = new QueryClient();
  renderHook(() => useStale("staging", readQuery("")), {
    wrapper: ({ children }: { children: ReactNode }) => (
      <QueryClientProvider client={queries}>
        <LiveContext.Provider value={live}>{children}</LiveContext.Provider>
      </QueryClientProvider>
    ),
  });
  const pass = (ms: number) => act(() => vi.advanceTimersByTimeAsync(ms));
  await pass(100);
  expect(asked).toHaveBeenCalledTimes(1);
  for (let revision = 1n; revision < 6n; revision++) {
    become({ revision });
    await pass(5000);
  }
  expect(asked).toHaveBeenCalledTimes(1);
  for (const key of ["a", "b", "c"]) become({ flags: new Map([[key, create(FlagSummarySchema, { key })]]) });
  await pass(5000);
  expect(asked).toHaveBeenCalledTimes(2);
});
