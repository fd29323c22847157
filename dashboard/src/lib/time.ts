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

const full = new Intl.DateTimeFormat("en", {
  dateStyle: "medium",
  timeStyle: "medium",
});

export function exactly(t: Date): string {
  return full.format(t);
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
const hourAndMinute = new Intl.DateTimeFormat("en", minutes);
const withSeconds = new Intl.DateTimeFormat("en", { ...minutes, second: "2-digit" });
const withDay = new Intl.DateTimeFormat("en", { ...minutes, weekday: "short", day: "numeric", month: "short" });

// The time of day: 00:30.
export function clock(t: Date): string {
  return hourAndMinute.format(t);
}

// The time of day to the second: 00:30:05.
export function secondClock(t: Date): string {
  return withSeconds.format(t);
}

// A time near now: the clock alone where it is today's.
export function moment(t: Date, now: Date = new Date()): string {
  return t.toDateString() === now.toDateString() ? clock(t) : withDay.format(t);
}

// Whether a time that is told once a minute, to the minute, may as well be now.
export function toldLately(t: Date, now: Date = new Date()): boolean {
  return now.getTime() - t.getTime() < 3 * 60_000;
}
