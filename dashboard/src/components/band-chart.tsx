import "uplot/dist/uPlot.min.css";
import "./band-chart.css";
import { useEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import { Comparison } from "../gen/tidegate/rollout/v1/decision_pb";
import { compared } from "../lib/rollout-words";
import { type Band, type Marker, range, ratioBounds, ratioSplits, thinned } from "../lib/series";
import { clock, secondClock } from "../lib/time";

const height = 210;

const color = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// A colour of the tokens, thinner.
function faded(name: string, alpha: number): string {
  return `color-mix(in srgb, ${color(name)} ${alpha * 100}%, transparent)`;
}

// An estimate over time with the band around it and the lines of its margins: never more than it
// knows. What it shows can be read as a table as well.
export function BandChart({
  band,
  comparison,
  label,
  steps,
  decisions = [],
  zero = false,
  over,
}: {
  band: Band;
  comparison: Comparison;
  // What it shows, in a sentence.
  label: string;
  steps: Marker[];
  decisions?: Marker[];
  // The line to look at is 0, not a margin.
  zero?: boolean;
  // Nothing will come any more.
  over: boolean;
}) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const [at, setAt] = useState<number | null>(null);
  const shown = useRef({ band, comparison, steps, decisions, zero });
  shown.current = { band, comparison, steps, decisions, zero };
  const data = useMemo(() => aligned(band, comparison), [band, comparison]);
  const latest = useRef(data);
  latest.current = data;

  useEffect(() => {
    const place = box.current;
    if (!place) return;
    const made = new uPlot(options(place.clientWidth, comparison, shown, setAt), latest.current, place);
    plot.current = made;
    const sized = new ResizeObserver(() => made.setSize({ width: place.clientWidth, height }));
    sized.observe(place);
    const themed = new MutationObserver(() => made.redraw(false));
    themed.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    return () => {
      sized.disconnect();
      themed.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [comparison]);

  useEffect(() => plot.current?.setData(data), [data]);

  return (
    <figure className="band-chart">
      <div ref={box} className="plot" role="img" aria-label={label} style={{ height }} />
      <figcaption className="small soft num row tight">
        <span>
          {band.times.length === 0
            ? over
              ? "Nothing was recorded."
              : "Nothing was counted yet."
            : at === null
              ? "Point at the chart to read what was known at a time."
              : rowWords(band, comparison, at)}
        </span>
      </figcaption>
      <details className="small">
        <summary>As a table</summary>
        <BandTable band={band} comparison={comparison} label={label} />
      </details>
    </figure>
  );
}

function rowWords(band: Band, comparison: Comparison, i: number): string {
  const say = (v: number | null | undefined) => (v === null || v === undefined ? "–" : compared(comparison, v));
  const time = secondClock(new Date((band.times[i] ?? 0) * 1000));
  return `${time}: ${say(band.estimate[i])}, between ${say(band.lower[i])} and ${say(band.upper[i])}`;
}

function BandTable({ band, comparison, label }: { band: Band; comparison: Comparison; label: string }) {
  const rows = thinned(
    band.times.map((_, i) => i),
    20,
  ).reverse();
  const say = (v: number | null | undefined) => (v === null || v === undefined ? "–" : compared(comparison, v));
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls is reached by keyboard
    <div className="scroll-x" role="region" aria-label={`Table: ${label}`} tabIndex={0}>
      <table className="table num">
        <thead>
          <tr>
            <th>Time</th>
            <th className="right">Estimate</th>
            <th className="right">Lower</th>
            <th className="right">Upper</th>
            {band.limit.length > 0 && <th className="right">Margin</th>}
          </tr>
        </thead>
        <tbody>
          {rows.map((i) => (
            <tr key={band.times[i]}>
              <td>{secondClock(new Date((band.times[i] ?? 0) * 1000))}</td>
              <td className="right">{say(band.estimate[i])}</td>
              <td className="right">{say(band.lower[i])}</td>
              <td className="right">{say(band.upper[i])}</td>
              {band.limit.length > 0 && <td className="right">{say(band.limit[i])}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

// On a logarithmic scale nothing is 0: what is below the scale lies on its edge.
function aligned(band: Band, comparison: Comparison): uPlot.AlignedData {
  const within = (row: (number | null)[]) =>
    comparison === Comparison.RATIO
      ? row.map((v) => v && Math.min(ratioBounds.most, Math.max(ratioBounds.least, v)))
      : row;
  const none = band.times.map(() => null);
  return [
    band.times,
    within(band.upper),
    within(band.lower),
    within(band.estimate),
    band.limit.length > 0 ? within(band.limit) : none,
    band.promotion.length > 0 ? within(band.promotion) : none,
  ];
}

const dated = new Intl.DateTimeFormat("en", { day: "numeric", month: "short" });

// A time on the axis, as exact as its ticks are far apart.
function timeWords(t: number, every: number): string {
  const at = new Date(t * 1000);
  return every < 60 ? secondClock(at) : every < 86_400 ? clock(at) : dated.format(at);
}

type Shown = { band: Band; comparison: Comparison; steps: Marker[]; decisions: Marker[]; zero: boolean };

function options(
  width: number,
  comparison: Comparison,
  shown: { current: Shown },
  point: (i: number | null) => void,
): uPlot.Options {
  const ratio = comparison === Comparison.RATIO;
  const axis: uPlot.Axis = {
    stroke: () => color("--text-soft"),
    grid: { stroke: () => color("--border"), width: 1 },
    ticks: { show: false },
    font: "11.5px Inter Variable, system-ui, sans-serif",
  };
  return {
    width,
    height,
    legend: { show: false },
    padding: [18, 10, 0, 0],
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: {
      x: { time: true, range: (_, min, max) => [min, Math.max(max, min + 10)] },
      y: { distr: ratio ? 3 : 1, range: () => range(shown.current.band, comparison) },
    },
    axes: [
      {
        ...axis,
        size: 28,
        space: 74,
        values: (_, splits, __, ___, every) => splits.map((t) => timeWords(t, every)),
      },
      {
        ...axis,
        size: 62,
        values: (_, splits) => splits.map((v) => (v === null ? "" : compared(comparison, v))),
        ...(ratio ? { splits: (_: uPlot, __: number, min: number, max: number) => ratioSplits(min, max) } : {}),
        ...(ratio ? { filter: (_: uPlot, splits: number[]) => splits } : {}),
      },
    ],
    series: [
      {},
      { stroke: () => faded("--accent", 0.45), width: 1, points: { show: false } },
      { stroke: () => faded("--accent", 0.45), width: 1, points: { show: false } },
      { stroke: () => color("--accent"), width: 2, points: { show: false } },
      { stroke: () => color("--bad"), width: 1.5, points: { show: false } },
      { stroke: () => color("--good"), width: 1.5, dash: [5, 4], points: { show: false } },
    ],
    bands: [{ series: [1, 2], fill: () => faded("--accent", 0.14) }],
    hooks: {
      draw: [(u) => marks(u, shown.current)],
      setCursor: [(u) => point(u.cursor.left !== undefined && u.cursor.left >= 0 ? (u.cursor.idx ?? null) : null)],
    },
  };
}

// Where the share changed, and where the decider said something.
function marks(u: uPlot, { steps, decisions, comparison, zero }: Shown) {
  const { ctx } = u;
  const { left, top, width, height: tall } = u.bbox;
  const scale = devicePixelRatio;
  ctx.save();
  ctx.font = `${11 * scale}px Inter Variable, system-ui, sans-serif`;
  if (zero || comparison === Comparison.RATIO) {
    const y = u.valToPos(comparison === Comparison.RATIO ? 1 : 0, "y", true);
    ctx.strokeStyle = color("--text-faint");
    ctx.lineWidth = scale;
    line(ctx, left, y, left + width, y);
  }
  let free = left;
  for (const s of steps) {
    const x = Math.max(left, u.valToPos(s.time, "x", true));
    if (x > left + width) continue;
    ctx.strokeStyle = color("--text-faint");
    ctx.lineWidth = scale;
    ctx.setLineDash([2 * scale, 3 * scale]);
    line(ctx, x, top, x, top + tall);
    ctx.setLineDash([]);
    if (x < free) continue;
    ctx.fillStyle = color("--text-soft");
    ctx.textAlign = x > left + width - 30 * scale ? "right" : "left";
    ctx.fillText(s.label, x, top - 5 * scale);
    free = x + ctx.measureText(s.label).width + 6 * scale;
  }
  named(u, "margin", u.data[4], "--bad");
  named(u, "to leave this stage", u.data[5], "--good");
  for (const d of decisions) {
    const x = u.valToPos(d.time, "x", true);
    if (x < left || x > left + width) continue;
    ctx.fillStyle = color("--text");
    ctx.beginPath();
    ctx.moveTo(x, top + tall - 7 * scale);
    ctx.lineTo(x - 4 * scale, top + tall);
    ctx.lineTo(x + 4 * scale, top + tall);
    ctx.fill();
  }
  ctx.restore();
}

// The name of a line, above its newest end.
function named(u: uPlot, name: string, row: ArrayLike<number | null | undefined> | undefined, tone: string) {
  const last = row?.[row.length - 1];
  if (last === null || last === undefined) return;
  const { ctx } = u;
  const { left, top, width, height: tall } = u.bbox;
  const y = u.valToPos(last, "y", true);
  if (y < top || y > top + tall) return;
  ctx.fillStyle = color(tone);
  ctx.textAlign = "right";
  ctx.fillText(
    name,
    Math.min(left + width, u.valToPos(u.data[0].at(-1) ?? 0, "x", true)) - 4 * devicePixelRatio,
    y - 4 * devicePixelRatio,
  );
}

function line(ctx: CanvasRenderingContext2D, x0: number, y0: number, x1: number, y1: number) {
  ctx.beginPath();
  ctx.moveTo(x0, y0);
  ctx.lineTo(x1, y1);
  ctx.stroke();
}
