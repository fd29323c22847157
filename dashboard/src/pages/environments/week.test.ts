import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { DayOfWeek, FreezeWindowSchema } from "../../gen/tidegate/control/v1/environment_pb";
import { byDay, minutesOf, stretches } from "./week";

const weekly = (days: DayOfWeek[], start: string, hours: number) =>
  create(FreezeWindowSchema, {
    name: "w",
    when: { case: "weekly", value: { days, start, duration: { seconds: BigInt(hours * 3600) }, timeZone: "UTC" } },
  });

test("times of day", () => {
  expect(minutesOf("18:30")).toBe(1110);
  for (const wrong of ["", "24:00", "9:00", "09:60"]) expect(minutesOf(wrong)).toBeUndefined();
});

test("a weekend goes over the end of the week, and on at its beginning", () => {
  const all = stretches(weekly([DayOfWeek.FRIDAY], "18:00", 62));
  expect(all).toEqual([
    { from: 4 * 1440 + 1080, to: 7 * 1440 },
    { from: 0, to: 480 },
  ]);
  expect(byDay(all)).toEqual([
    { day: 4, from: 1080, to: 1440 },
    { day: 5, from: 0, to: 1440 },
    { day: 6, from: 0, to: 1440 },
    { day: 0, from: 0, to: 480 },
  ]);
});

test("what cannot be read yet freezes nothing", () => {
  expect(stretches(weekly([DayOfWeek.MONDAY], "late", 2))).toEqual([]);
  expect(stretches(create(FreezeWindowSchema, { name: "once" }))).toEqual([]);
});
