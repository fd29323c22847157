import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, test, vi } from "vitest";
import { Part, WatchResponseSchema } from "../gen/tidegate/control/v1/watch_service_pb";
import { State } from "../gen/tidegate/rollout/v1/rollout_pb";
import { apply, LiveStore, maxEntries } from "./live";

vi.mock("./transport", () => ({ watch: {} }));

type Message = MessageInitShape<typeof WatchResponseSchema>;

const after = (...messages: Message[]) =>
  messages.map((m) => create(WatchResponseSchema, m)).reduce(apply, new LiveStore().read());
const entries = (...revisions: number[]) => ({
  entries: revisions.map((revision) => ({ revision: BigInt(revision), sequence: BigInt(revision) })),
});
const revisions = (live: ReturnType<typeof after>) => live.entries.map((e) => Number(e.revision));

const running = { key: "menu", status: { state: State.RUNNING } };
const over = { key: "menu", status: { state: State.COMPLETED } };
const standings = [{ rolloutKey: "menu" }, { rolloutKey: "search" }];

test.each([
  ["before", [{ rollouts: [running], standings }, { rollouts: [over] }]],
  ["after", [{ rollouts: [over] }, { standings }]],
])("how a rollout stands is forgotten that is over, if it was told %s that", (_, messages) => {
  expect([...after(...messages).standings.keys()]).toEqual(["search"]);
});

test("relays that left while there was no stream are not there", () => {
  const known = { resetParts: [Part.RELAYS], relays: [{ instanceId: "a" }, { instanceId: "b" }] };
  const now = after(
    known,
    { resetParts: [Part.RELAYS], relays: [{ instanceId: "b" }] },
    { relays: [{ instanceId: "c" }] },
  );
  expect([...now.relays.keys()]).toEqual(["b", "c"]);
  expect(after(known, { resetParts: [Part.RELAYS], unreachableServers: ["s2"] })).toMatchObject({
    relays: new Map(),
    unreachableServers: ["s2"],
  });
});

test("entries are there once, however often a stream begins with them", () => {
  const begin = { resetParts: [Part.ENTRIES] };
  expect(revisions(after({ ...begin, ...entries(1, 2, 3) }, { ...begin, ...entries(2, 3) }, entries(4)))).toEqual([
    4, 3, 2,
  ]);
});

test("those before a gap are forgotten", () => {
  expect(revisions(after(entries(1, 2), { entriesMissed: true, ...entries(8, 9) }))).toEqual([9, 8]);
});

test("only so many are kept", () => {
  const all = Array.from({ length: maxEntries + 5 }, (_, i) => i + 1);
  const now = after(entries(...all));
  expect(now.entries).toHaveLength(maxEntries);
  expect(revisions(now)[0]).toBe(maxEntries + 5);
});
