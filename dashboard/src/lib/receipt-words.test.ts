import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { RelaySchema, WaitAppliedResponseSchema } from "../gen/tidegate/control/v1/fleet_service_pb";
import { receiptOf } from "./receipt-words";

const now = new Date(2026, 10, 28, 3, 0);
const away = (instanceId: string, seconds?: number, region = "ap-south") =>
  create(RelaySchema, {
    instanceId,
    region,
    lastSeen: seconds === undefined ? undefined : timestampFromDate(new Date(now.getTime() - seconds * 1000)),
  });
const there = (instanceId: string) => create(RelaySchema, { instanceId, region: "eu-west", connected: true });
const answer = (
  total: number,
  missing: ReturnType<typeof away>[],
  more: { last?: boolean; nanos?: number; unreachable?: string[]; uncounted?: number } = {},
) => {
  const applied = total - missing.length - (more.uncounted ?? 0);
  return create(WaitAppliedResponseSchema, {
    total,
    applied,
    missing,
    reached: applied === total,
    last: more.last ?? applied === total,
    elapsed: { seconds: 0n, nanos: more.nanos ?? 250_000_000 },
    unreachableServers: more.unreachable ?? [],
  });
};
const read = (a: ReturnType<typeof answer>, first = true) => receiptOf(a, { environment: "production", first, now });

describe("who has a change", () => {
  test("all of them, and after how long", () => {
    expect(read(answer(5, []))).toMatchObject({ tone: "good", words: "5 of 5 relays have it after 250 ms." });
    expect(read(answer(1, [], { nanos: 400_000 }))).toMatchObject({ words: "1 of 1 relay has it already." });
    expect(read(answer(5, []), false)).toMatchObject({ words: "5 of 5 relays have it.", lacking: [] });
  });

  test("nobody follows", () => {
    expect(read(answer(0, []))).toMatchObject({ tone: "good", words: "No relay follows production now." });
  });

  test("a relay that is there is waited for, but not for ever", () => {
    expect(read(answer(5, [there("edge-1")]))).toMatchObject({
      tone: "waits",
      words: "4 of 5 relays have it so far.",
      lacking: ["edge-1 (eu-west): connected, and does not use it yet"],
      serves: "",
    });
    expect(read(answer(5, [there("edge-1")], { last: true }))).toMatchObject({
      tone: "warn",
      words: "4 of 5 relays have it. 1 does not:",
      serves: "It serves what it had until it has this.",
    });
    expect(read(answer(5, [there("edge-1")]), false)).toMatchObject({ tone: "warn" });
  });

  test("one that is away is warned of at once: where it is, since when, what it serves", () => {
    expect(read(answer(5, [away("edge-5", 56)]))).toEqual({
      tone: "warn",
      words: "4 of 5 relays have it. 1 does not:",
      lacking: ["edge-5 (ap-south): not connected, last seen 56 sec. ago"],
      serves: "If it still runs, it serves what it had until it comes back.",
      unsure: "",
    });
    expect(read(answer(5, [away("edge-4", undefined, ""), away("edge-5", 56)]))).toMatchObject({
      words: "3 of 5 relays have it. 2 do not:",
      lacking: [
        "edge-4: not connected, not seen since the server started",
        "edge-5 (ap-south): not connected, last seen 56 sec. ago",
      ],
      serves: "Those that still run serve what they had until they come back.",
    });
    expect(read(answer(3, [away("edge-4", 56), there("edge-1")]))).toMatchObject({
      serves: "Those that still run serve what they had until they have this.",
    });
  });

  test("of many, the first are named", () => {
    const many = Array.from({ length: 8 }, (_, i) => away(`edge-${i}`, 60));
    const { lacking } = read(answer(40, many, { uncounted: 20 }));
    expect(lacking).toHaveLength(6);
    expect(lacking[5]).toBe("and 23 others");
  });

  test("where a server did not answer, it is not known of its relays", () => {
    expect(read(answer(5, [], { unreachable: ["control-2"] }))).toMatchObject({
      tone: "warn",
      unsure: "The server control-2 did not answer: relays of it may lack it.",
    });
    expect(read(answer(5, [], { unreachable: ["control-2", "control-3"] })).unsure).toBe(
      "The servers control-2, control-3 did not answer: relays of theirs may lack it.",
    );
  });
});
