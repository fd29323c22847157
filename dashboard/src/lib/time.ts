import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import { timestampDate } from "@bufbuild/protobuf/wkt";

export function dateOf(t: Timestamp | undefined): Date | undefined {
  return t && timestampDate(t);
}

export function secondsOf(d: Duration | undefined): number | undefined {
  return d && Number(d.seconds) + d.nanos / 1e9;
}

const units: [limit: number, size: number, name: Intl.RelativeTimeFormatUnit][] = [
  [60, 1, "second"],
  [3600, 60, "minute"],
  [86400, 3600, "hour"],
  [30 * 86400, 86400, "day"],
  [365 * 86400, 30 * 86400, "month"],
  [Number.POSITIVE_INFINITY, 365 * 86400, "year"],
];

const relative = new Intl.RelativeTimeFormat("en", {
  numeric: "auto",
  style: "short",
});

// How long ago, or until, in one unit: "3 min. ago".
export function ago(t: Date, now: Date = new Date()): string {
  const seconds = Math.round((t.getTime() - now.getTime()) / 1000);
  if (Math.abs(seconds) < 5) return "just now";
  for (const [limit, size, name] of units) {
    if (Math.abs(seconds) < limit) return relative.format(Math.trunc(seconds / size), name);
  }
  return "";
}

// A span in at most two units: "1 h 20 min".
export function span(seconds: number): string {
  if (seconds < 1) return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  if (seconds < 60) return `${seconds < 10 ? Math.round(seconds * 10) / 10 : Math.round(seconds)} s`;
  const parts: [number, string][] = [
    [86400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  let rest = Math.round(seconds);
  const out: string[] = [];
  for (const [size, name] of parts) {
    if (rest >= size || out.length > 0) {
      const n = Math.floor(rest / size);
      if (n > 0) out.push(`${n} ${name}`);
      rest -= n * size;
      if (out.length === 2) break;
    }
  }
  return out.join(" ");
}

const minutes: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const day: Intl.DateTimeFormatOptions = { weekday: "short", day: "numeric", month: "short" };
const format = (o: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat("en", o);
const hourAndMinute = format(minutes);
const withSeconds = format({ ...minutes, second: "2-digit" });
const withDay = format({ ...minutes, ...day });
const withYear = format({ ...minutes, ...day, year: "numeric" });
const whole = format({ ...minutes, ...day, year: "numeric", second: "2-digit" });
const offset = format({ timeZoneName: "shortOffset" });

// The time of day: 00:30. All times are by the clock of who looks.
export function clock(t: Date): string {
  return hourAndMinute.format(t);
}

// The time of day to the second: 00:30:05.
export function secondClock(t: Date): string {
  return withSeconds.format(t);
}

// The time of day, with as much of the date as is not today's.
export function moment(t: Date, now: Date = new Date()): string {
  if (t.toDateString() === now.toDateString()) return clock(t);
  return (t.getFullYear() === now.getFullYear() ? withDay : withYear).format(t);
}

// What the clock of who looks is ahead of UTC at a time: GMT+13.
export function zone(t: Date): string {
  const name = offset.formatToParts(t).find((p) => p.type === "timeZoneName")?.value ?? "";
  return /^GMT(\+0)?$/.test(name) ? "UTC" : name;
}

// A time that people in other places act on, too: Sun, Nov 29, 09:00 (GMT+13).
export function zoned(t: Date, now: Date = new Date()): string {
  return `${moment(t, now)} (${zone(t)})`;
}

// All of a time, with what the command line and the servers' logs call it.
export function exactly(t: Date): string {
  return `${whole.format(t)} (${zone(t)}), in UTC ${t.toISOString().slice(0, 19).replace("T", " ")}`;
}

// Whether a time that is told once a minute, to the minute, may as well be now.
export function toldLately(t: Date, now: Date = new Date()): boolean {
  return now.getTime() - t.getTime() < 3 * 60_000;
}
