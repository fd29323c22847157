// @vitest-environment jsdom
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FlagSummarySchema, WatchResponseSchema } from "../gen/tidegate/control/v1/watch_service_pb";
import { LiveStore } from "./live";

type Message = MessageInitShape<typeof WatchResponseSchema>;

const from: (bigint | undefined)[] = [];
let scripts: Message[][] = [];

vi.mock("./transport", () => ({
  watch: {
    async *watch(request: { from?: { revision: bigint } }, { signal }: { signal: AbortSignal }) {
      from.push(request.from?.revision);
      for (const m of scripts.shift() ?? []) yield create(WatchResponseSchema, m);
      await new Promise((_, fail) => signal.addEventListener("abort", () => fail(signal.reason)));
    },
  },
}));

beforeEach(() => {
  vi.useFakeTimers();
  from.length = 0;
});
afterEach(() => vi.useRealTimers());

const first: Message = { reset: true, ready: true, rollouts: [{ key: "menu" }], cursor: { revision: 7n } };
const gone: Message = { deletedRollouts: ["menu"], cursor: { revision: 8n } };

// What comes in the moment in which somebody looks elsewhere is not lost: not what was heard
// before, nor what is heard after.
test("what is heard and not shown when somebody looks elsewhere is asked for again", async () => {
  scripts = [[first], [gone]];
  const live = new LiveStore();
  live.look("staging", "menu");
  await vi.advanceTimersByTimeAsync(0); // it is heard
  expect(live.read().ready).toBe(false);
  live.look("staging");
  await vi.advanceTimersByTimeAsync(0);
  expect(from).toEqual([undefined, undefined]);
  live.close();
});

test("what is heard after it is shown", async () => {
  scripts = [[first], [gone]];
  const live = new LiveStore();
  live.look("staging", "menu");
  await vi.advanceTimersByTimeAsync(100);
  expect([...live.read().rollouts.keys()]).toEqual(["menu"]);
  live.look("staging");
  await vi.advanceTimersByTimeAsync(100);
  expect(from).toEqual([undefined, 7n]);
  expect(live.read().rollouts.size).toBe(0);
  live.close();
});

test("a stream that ends goes on from what was heard", async () => {
  scripts = [[first], [gone]];
  const live = new LiveStore();
  live.look("staging");
  await vi.advanceTimersByTimeAsync(30_000); // of silence
  expect(from.slice(0, 2)).toEqual([undefined, 7n]);
  expect(live.read().rollouts.size).toBe(0);
  live.close();
});

const flag = (enabled: boolean, revision: bigint) => ({ key: "menu", enabled, revision });

test("a change that was assumed is taken back, but not what somebody else wrote meanwhile", async () => {
  scripts = [
    [
      { reset: true, ready: true, flags: [flag(true, 1n)], cursor: { revision: 1n } },
      { flags: [flag(true, 2n)], cursor: { revision: 2n } },
    ],
  ];
  const live = new LiveStore();
  live.look("staging");
  const takeBack = live.assume(create(FlagSummarySchema, flag(false, 0n)));
  await vi.advanceTimersByTimeAsync(100);
  takeBack();
  expect(live.read().flags.get("menu")?.revision).toBe(2n);

  const takeThisBack = live.assume(create(FlagSummarySchema, flag(false, 2n)));
  expect(live.read().flags.get("menu")?.enabled).toBe(false);
  takeThisBack();
  expect(live.read().flags.get("menu")?.enabled).toBe(true);
  live.close();
});
