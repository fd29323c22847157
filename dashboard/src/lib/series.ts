import type { SeriesPoint } from "../gen/tidegate/control/v1/rollout_series_pb";
import { type Assessment, Comparison } from "../gen/tidegate/rollout/v1/decision_pb";
import { dateOf } from "./time";

// What a band chart draws: a line, the band around it, and the margins, over time.
export type Band = {
  // Seconds since 1970.
  times: number[];
  estimate: (number | null)[];
  lower: (number | null)[];
  upper: (number | null)[];
  // Where the margin's lines are; empty: there are none.
  limit: (number | null)[];
  promotion: (number | null)[];
};

export type Marker = { time: number; label: string };

// Points in the order of time, each once: a stream that begins again sends them again.
export function orderly(points: readonly SeriesPoint[]): SeriesPoint[] {
  const byTime = new Map<number, SeriesPoint>();
  for (const p of points) byTime.set(seconds(p), p);
  return [...byTime.entries()].sort(([a], [b]) => a - b).map(([, p]) => p);
}

function seconds(p: SeriesPoint): number {
  return (dateOf(p.time)?.getTime() ?? 0) / 1000;
}

// How the evidence stood at a point that is newer than an assessment.
export function asOf(a: Assessment, point: SeriesPoint | undefined): Assessment {
  if (!point || seconds(point) <= (dateOf(a.time)?.getTime() ?? 0) / 1000) return a;
  const guardrails = a.guardrails.map((g, i) => {
    const p = point.guardrails[i];
    if (!p) return g;
    const { standing, estimate, lower, upper, limit, promotionLimit, logE, gateLogE, counts } = p;
    const { treatmentValue, controlValue } = p;
    return {
      ...g,
      standing,
      estimate,
      lower,
      upper,
      limit,
      promotionLimit,
      logE,
      gateLogE,
      counts,
      treatmentValue,
      controlValue,
    };
  });
  return { ...a, time: point.time, guardrails };
}

const known = (v: number | undefined) => (v === undefined || !Number.isFinite(v) ? null : v);

export function guardrailBand(points: SeriesPoint[], index: number): Band {
  const at = points.map((p) => p.guardrails[index]);
  return {
    times: points.map(seconds),
    estimate: at.map((g) => known(g?.estimate)),
    lower: at.map((g) => known(g?.lower)),
    upper: at.map((g) => known(g?.upper)),
    limit: at.map((g) => known(g?.limit)),
    promotion: at.map((g) => known(g?.promotionLimit)),
  };
}

export function successBand(points: SeriesPoint[]): Band {
  return {
    times: points.map(seconds),
    estimate: points.map((p) => known(p.success?.estimate)),
    lower: points.map((p) => known(p.success?.lower)),
    upper: points.map((p) => known(p.success?.upper)),
    limit: [],
    promotion: [],
  };
}

// Where the treatment's share changed.
export function stepMarkers(points: SeriesPoint[], words: (weight: number) => string): Marker[] {
  const out: Marker[] = [];
  points.forEach((p, i) => {
    if (i === 0 || points[i - 1]?.step !== p.step) out.push({ time: seconds(p), label: words(p.weight) });
  });
  return out;
}

const ratioSteps = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50];

// Ratios are shown on a logarithmic scale, and within these.
export const ratioBounds = { least: 0.02, most: 50 };

const values = (row: (number | null)[]) => row.filter((v): v is number => v !== null);

/* What a chart shows of its values. It contains the margins, and goes in coarse steps, so that it
   does not jump with every point. What a wide band says beyond it is nothing that one could use. */
export function range(band: Band, comparison: Comparison): [number, number] {
  if (comparison === Comparison.RATIO) {
    const lower = values(band.lower).at(-1) ?? ratioBounds.least;
    const least = Math.max(ratioBounds.least, Math.min(0.5, lower / 2));
    const lines = [band.limit, band.promotion, band.estimate].map((row) => 1.5 * size(row));
    const most = Math.min(ratioBounds.most, Math.max(2, ...lines, 2 * size(band.upper)));
    return [
      [...ratioSteps].reverse().find((s) => s <= least) ?? ratioBounds.least,
      ratioSteps.find((s) => s >= most) ?? ratioBounds.most,
    ];
  }
  const all = [band.limit, band.promotion, band.estimate, band.lower, band.upper].flatMap(values);
  if (all.length === 0) return [-1, 1];
  const cap = Math.max(
    ...[band.limit, band.promotion, band.estimate].map((row) => 3 * size(row)),
    ...[band.lower, band.upper].map((row) => 1.5 * size(row)),
    1e-9,
  );
  const least = Math.max(-cap, Math.min(0, ...all));
  const most = Math.min(cap, Math.max(0, ...all));
  const step = coarse(Math.max(most, -least, 1e-9) / 2);
  return [Math.floor((least * 1.02) / step) * step, Math.ceil((most * 1.02) / step) * step || step];
}

// The size of the newest value; 0: there is none.
function size(row: (number | null)[]): number {
  return Math.abs(values(row).at(-1) ?? 0);
}

// The next 1, 2 or 5 with a power of ten.
function coarse(v: number): number {
  const power = 10 ** Math.floor(Math.log10(v));
  const m = v / power;
  return (m <= 1 ? 1 : m <= 2 ? 2 : m <= 5 ? 5 : 10) * power;
}

export function ratioSplits(min: number, max: number): number[] {
  return ratioSteps.filter((s) => s >= min * 0.999 && s <= max * 1.001);
}

// At most `most` of the rows, the newest always among them: for a table.
export function thinned<T>(rows: T[], most: number): T[] {
  if (rows.length <= most) return rows;
  const every = Math.ceil(rows.length / most);
  return rows.filter((_, i) => (rows.length - 1 - i) % every === 0);
}
