import type { FreezeWindow } from "../../gen/tidegate/control/v1/environment_pb";

export const dayNames = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const week = 7 * 24 * 60;

// A stretch of a week, in minutes from Monday 00:00, by the clock of the window's zone.
export type Stretch = { from: number; to: number };

export function minutesOf(clock: string): number | undefined {
  const m = /^([01]\d|2[0-3]):([0-5]\d)$/.exec(clock);
  return m ? Number(m[1]) * 60 + Number(m[2]) : undefined;
}

// When a weekly window freezes: what goes over the end of the week goes on at its beginning.
export function stretches(w: FreezeWindow): Stretch[] {
  if (w.when.case !== "weekly") return [];
  const start = minutesOf(w.when.value.start);
  const length = Number(w.when.value.duration?.seconds ?? 0n) / 60;
  if (start === undefined || length <= 0) return [];
  return w.when.value.days.flatMap((day) => {
    const from = (day - 1) * 24 * 60 + start;
    const to = from + length;
    return to <= week
      ? [{ from, to }]
      : [
          { from, to: week },
          { from: 0, to: Math.min(to - week, from) },
        ];
  });
}

// A stretch, cut at midnights: each piece is of one day.
export function byDay(all: Stretch[]): { day: number; from: number; to: number }[] {
  const day = 24 * 60;
  return all.flatMap(({ from, to }) => {
    const out: { day: number; from: number; to: number }[] = [];
    for (let d = Math.floor(from / day); d * day < to; d++)
      out.push({ day: d, from: Math.max(from, d * day) - d * day, to: Math.min(to, (d + 1) * day) - d * day });
    return out;
  });
}

export function clockOf(minutes: number): string {
  const of = (n: number) => String(n).padStart(2, "0");
  return `${of(Math.floor(minutes / 60))}:${of(minutes % 60)}`;
}
