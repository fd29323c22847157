import { expect, it } from "vitest";
import { clock, moment, secondClock, toldLately } from "./time";

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
