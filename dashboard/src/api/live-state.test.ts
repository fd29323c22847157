// @vitest-environment jsdom
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { WatchResponseSchema } from "../gen/tidegate/control/v1/watch_service_pb";
import { LiveStore } from "./live";

type Message = MessageInitShape<typeof WatchResponseSchema>;

// Each stream sends what it has, with pauses in ms between, and then fails, or stays.
let streams: { messages: (Message | number)[]; failure?: ConnectError }[] = [];
const from: (bigint | undefined)[] = [];
let read = 0;

vi.mock("./transport", () => ({
  watch: {
    async *watch(request: { from?: { revision: bigint } }, { signal }: { signal: AbortSignal }) {
      from.push(request.from?.revision);
      const stream = streams.shift();
      for (const m of stream?.messages ?? []) {
        if (typeof m === "number") {
          await new Promise((over) => setTimeout(over, m));
          continue;
        }
        read++;
        yield create(WatchResponseSchema, m);
      }
      if (stream?.failure) throw stream.failure;
      await new Promise((_, fail) => signal.addEventListener("abort", () => fail(signal.reason)));
    },
  },
}));

let visibility: DocumentVisibilityState = "visible";

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(document, "visibilityState", "get").mockImplementation(() => visibility);
  visibility = "visible";
  streams = [];
  from.length = 0;
  read = 0;
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const flags = (...keys: string[]) => ({ flags: keys.map((key) => ({ key })) });
const shown = (live: LiveStore) => [...live.read().flags.keys()].join(" ");
const large: Message[] = [
  { reset: true, ...flags("a") },
  flags("b"),
  flags("c"),
  { ...flags("d"), ready: true, cursor: { revision: 3n } },
];

test("the beginning of a large state is shown before the rest of it is read", async () => {
  streams = [{ messages: large }];
  const live = new LiveStore();
  let readWhenFirstShown = 0;
  live.subscribe(() => {
    if (live.read().flags.size > 0) readWhenFirstShown ||= read;
  });
  live.look("staging");
  await vi.advanceTimersByTimeAsync(500);
  expect(readWhenFirstShown).toBe(1);
  expect(shown(live)).toBe("a b c d");
  expect(live.read().ready).toBe(true);
  live.close();
});

test("a state that comes anew replaces what is shown when it is whole", async () => {
  streams = [{ messages: [...large, 200, { reset: true, ...flags("b") }, 200, { ...flags("e"), ready: true }] }];
  const live = new LiveStore();
  const seen = new Set<string>();
  live.subscribe(() => live.read().ready && seen.add(shown(live)));
  live.look("staging");
  await vi.advanceTimersByTimeAsync(1000);
  expect([...seen]).toEqual(["a b c d", "b e"]);
  live.close();
});

test("of one that breaks off nothing is shown, and all after what is shown is asked for again", async () => {
  const change = { ...flags("f"), cursor: { revision: 4n } };
  streams = [
    { messages: large, failure: new ConnectError("gone", Code.Unavailable) },
    // The change and the part come within a frame: neither is shown.
    { messages: [change, { reset: true, ...flags("b") }], failure: new ConnectError("gone", Code.Unavailable) },
    { messages: [change] },
  ];
  const live = new LiveStore();
  live.look("staging");
  await vi.advanceTimersByTimeAsync(5000);
  expect(from).toEqual([undefined, 3n, 3n]);
  expect(shown(live)).toBe("a b c d f");
  live.close();
});

test("who is logged out and in again is shown the state anew", async () => {
  streams = [{ messages: [], failure: new ConnectError("who?", Code.Unauthenticated) }, { messages: large }];
  const live = new LiveStore();
  live.look("staging");
  await vi.advanceTimersByTimeAsync(5000);
  expect(from).toEqual([undefined]);
  live.look("staging");
  await vi.advanceTimersByTimeAsync(500);
  expect(shown(live)).toBe("a b c d");
  live.close();
});

test.each<DocumentVisibilityState>(["visible", "hidden"])(
  "a tab that is %s, and has no frames, keeps up",
  async (is) => {
    visibility = is; // the browser stops frames first
    vi.stubGlobal("requestAnimationFrame", () => 0);
    streams = [{ messages: large }];
    const live = new LiveStore();
    live.look("staging");
    await vi.advanceTimersByTimeAsync(500);
    expect(shown(live)).toBe("a b c d");
    live.close();
    vi.unstubAllGlobals();
  },
);

test("what waits to be shown when a stream is refused does not make it live again", async () => {
  streams = [{ messages: large, failure: new ConnectError("not yours any more", Code.PermissionDenied) }];
  const live = new LiveStore();
  live.look("staging");
  await vi.advanceTimersByTimeAsync(5000);
  expect(live.read().connection).toBe("refused");
  expect(shown(live)).toBe("a b c d");
  live.close();
});

test("who is logged out is told so", async () => {
  streams = [{ messages: large, failure: new ConnectError("who?", Code.Unauthenticated) }];
  const live = new LiveStore();
  let told = "";
  live.subscribe(() => {
    told = live.read().connection;
  });
  live.look("staging");
  await vi.advanceTimersByTimeAsync(5000);
  expect(told).toBe("refused");
  live.close();
});
