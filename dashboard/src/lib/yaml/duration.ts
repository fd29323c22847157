import { create } from "@bufbuild/protobuf";
import { type Duration, DurationSchema } from "@bufbuild/protobuf/wkt";

// Durations as files have them: 100ms, 30s, 5m, 2h30m, 7d.

const day = 86_400_000_000_000n;
// The most that the server reads: 100 years in days, and what nanoseconds of 64 bits hold.
const mostDays = 36_500n;
const mostNanos = 2n ** 63n - 1n;
const units: [string, bigint][] = [
  ["ns", 1n],
  ["us", 1000n],
  ["µs", 1000n],
  ["ms", 1_000_000n],
  ["s", 1_000_000_000n],
  ["m", 60_000_000_000n],
  ["h", 3_600_000_000_000n],
];

export function formatDuration(d: Duration): string {
  const nanos = d.seconds * 1_000_000_000n + BigInt(d.nanos);
  if (nanos >= day && nanos % day === 0n) return `${nanos / day}d`;
  if (nanos === 0n) return "0s";
  if (nanos < 1_000_000_000n) {
    for (const [name, size] of [["ms", 1_000_000n] as const, ["µs", 1000n] as const])
      if (nanos >= size) return `${Number(nanos) / Number(size)}${name}`;
    return `${nanos}ns`;
  }
  const h = nanos / 3_600_000_000_000n;
  const m = (nanos / 60_000_000_000n) % 60n;
  const s = Number(nanos % 60_000_000_000n) / 1e9;
  const text = `${h > 0n ? `${h}h` : ""}${h > 0n || m > 0n ? `${m}m` : ""}${s}s`;
  return text.replace(/m0s$/, "m").replace(/h0m$/, "h");
}

// Undefined where it is none.
export function readDuration(text: string): Duration | undefined {
  const days = /^(\d{1,5})d$/.exec(text);
  if (days) {
    const n = BigInt(days[1] ?? 0);
    return n <= mostDays ? ofNanos(n * day) : undefined;
  }
  if (!/^((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))+$/.test(text)) return text === "0" ? ofNanos(0n) : undefined;
  let nanos = 0n;
  for (const [, n = "", unit] of text.matchAll(/([\d.]+)(ns|us|µs|ms|s|m|h)/g)) {
    const size = units.find(([name]) => name === unit)?.[1] ?? 0n;
    const [integer = "", fraction = ""] = n.split(".");
    nanos += BigInt(integer || "0") * size;
    if (fraction) nanos += BigInt(Math.round(Number(`0.${fraction}`) * Number(size)));
  }
  return nanos <= mostNanos ? ofNanos(nanos) : undefined;
}

function ofNanos(nanos: bigint): Duration {
  return create(DurationSchema, { seconds: nanos / 1_000_000_000n, nanos: Number(nanos % 1_000_000_000n) });
}
