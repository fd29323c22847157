import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { describe, expect, test, vi } from "vitest";
import { FrozenSchema } from "../gen/tidegate/rollout/v1/decision_pb";
import { byAnybody, byEverything, bySomebody, frozenWords, stillWorks } from "./freeze-words";

vi.hoisted(() => {
  process.env.TZ = "UTC";
});

const now = new Date(2026, 10, 28, 20, 0);
const since = timestampFromDate(new Date(2026, 10, 28, 19, 57));
const until = timestampFromDate(new Date(2026, 10, 30, 8, 0));
const person = create(FrozenSchema, { actor: "ada", reason: "checkout is down", since });
const everything = create(FrozenSchema, { actor: "ada", everywhere: true, since });
const window = create(FrozenSchema, { window: "weekend", reason: "nobody is there", since, until });

describe("a freeze", () => {
  test("in a sentence: by whom, since when, until when, why", () => {
    expect(frozenWords(person, now)).toBe("Frozen by ada since 19:57 (UTC): checkout is down");
    expect(frozenWords(everything, now)).toBe("Everything is frozen by ada since 19:57 (UTC)");
    expect(frozenWords(window, now)).toBe(
      "Frozen by the window “weekend” since 19:57, until Mon, Nov 30, 08:00 (UTC): nobody is there",
    );
  });

  test("what works all the same; in a window settings too", () => {
    expect(stillWorks([person])).toBe(
      "Still possible: to turn flags off, and operational ones on; to pause and abort rollouts; to restore the environment to an earlier time; to propose changes.",
    );
    expect(stillWorks([window])).toContain("; to change its settings; to propose changes.");
    expect(stillWorks([window, person])).not.toContain("settings");
  });

  test("what refuses what", () => {
    const all = [person, everything, window];
    expect(all.filter(byAnybody)).toEqual(all);
    expect(all.filter(bySomebody)).toEqual([person, everything]);
    expect(all.filter(byEverything)).toEqual([everything]);
  });
});
