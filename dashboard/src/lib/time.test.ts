import { expect, it, vi } from "vitest";
import { clock, exactly, moment, secondClock, toldLately, zone, zoned } from "./time";

vi.hoisted(() => {
  process.env.TZ = "Pacific/Auckland";
});

const midnight = new Date(2026, 10, 28, 0, 30, 5);

it("half an hour after midnight is 00:30", () => {
  expect(clock(midnight)).toBe("00:30");
  expect(secondClock(midnight)).toBe("00:30:05");
  expect(moment(midnight, midnight)).toBe("00:30");
  expect(moment(midnight, new Date(2026, 10, 27))).toBe("Sat, Nov 28, 00:30");
  expect(clock(new Date(2026, 10, 28, 23, 59))).toBe("23:59");
});

it("takes a time that is told once a minute for now while it may be", () => {
  const now = new Date("2026-11-27T19:53:40Z");
  expect(toldLately(new Date("2026-11-27T19:51:00Z"), now)).toBe(true);
  expect(toldLately(new Date("2026-11-27T19:50:00Z"), now)).toBe(false);
});

it("the year is said where it is not this one", () => {
  expect(moment(midnight, new Date(2027, 10, 28))).toBe("Sat, Nov 28, 2026, 00:30");
});

it("the zone is that of the time, not of now", () => {
  expect(zone(midnight)).toBe("GMT+13");
  expect(zone(new Date(2026, 6, 1))).toBe("GMT+12");
  expect(zoned(new Date(2026, 10, 29, 9), midnight)).toBe("Sun, Nov 29, 09:00 (GMT+13)");
  expect(zoned(midnight, midnight)).toBe("00:30 (GMT+13)");
});

it("a tooltip has all of a time, and what it is elsewhere", () => {
  expect(exactly(midnight)).toBe("Sat, Nov 28, 2026, 00:30:05 (GMT+13), in UTC 2026-11-27 11:30:05");
});
