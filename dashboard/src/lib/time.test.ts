import { expect, it } from "vitest";
import { clock, moment, secondClock } from "./time";

const midnight = new Date(2026, 10, 28, 0, 30, 5);

it("half an hour after midnight is 00:30", () => {
  expect(clock(midnight)).toBe("00:30");
  expect(secondClock(midnight)).toBe("00:30:05");
  expect(moment(midnight, midnight)).toBe("00:30");
  expect(moment(midnight, new Date(2026, 10, 27))).toBe("Sat, Nov 28, 00:30");
  expect(clock(new Date(2026, 10, 28, 23, 59))).toBe("23:59");
});
