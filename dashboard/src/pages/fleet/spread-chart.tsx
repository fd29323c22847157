import { span } from "../../lib/time";
import { type Arrival, ticks } from "./propagation";

// Dots that would lie on each other go into lanes.
const lanes = 4;
const near = 1.4;

type Dot = { arrival: Arrival; left: number; lane: number };

function dotsOf(some: Arrival[], end: number): Dot[] {
  const taken: number[] = [];
  return some
    .filter((a) => typeof a.after === "number")
    .sort((a, b) => Number(a.after) - Number(b.after))
    .map((arrival) => {
      const left = (100 * Number(arrival.after)) / end;
      const free = Array.from({ length: lanes }, (_, i) => i).find((i) => left - (taken[i] ?? -near) >= near);
      const lane = free ?? taken.indexOf(Math.min(...taken));
      taken[lane] = left;
      return { arrival, left, lane };
    });
}

// After which time each relay had a change: a dot each, a row for each region. Those that had it
// before it could be measured are on the left, those that have not on the right.
export function SpreadChart({ spread }: { spread: Arrival[] }) {
  const times = spread.map((a) => a.after).filter((a) => typeof a === "number");
  // Nothing was measured, and nothing is waited for: there is nothing to draw.
  if (times.length === 0 && spread.every((a) => a.after === "before")) return null;
  const marks = ticks(Math.max(1, ...times));
  const end = marks.at(-1) ?? 1;
  const regions = new Map<string, Arrival[]>();
  for (const a of spread) regions.set(a.relay.region, [...(regions.get(a.relay.region) ?? []), a]);
  const rows = [...regions].sort(([a], [b]) => (a < b ? -1 : 1));
  return (
    <div className="spread" role="img" aria-label={`When each relay had it. ${describe(rows)}`}>
      {rows.map(([region, some]) => {
        const before = some.filter((a) => a.after === "before").length;
        const missing = some.filter((a) => a.after === undefined);
        return (
          <div className="region" key={region}>
            <span className="name truncate" title={region}>
              {region || "no region"}
            </span>
            <span className="before small faint num">{before > 0 && `${before} had it`}</span>
            <span className="lane">
              {times.length > 0 &&
                marks.slice(1, -1).map((m) => <i key={m} className="line" style={{ left: `${(100 * m) / end}%` }} />)}
              {dotsOf(some, end).map((d) => (
                <i
                  key={d.arrival.relay.instanceId}
                  className="point"
                  title={`${d.arrival.relay.instanceId}: ${span(Number(d.arrival.after) / 1000)}`}
                  style={{ left: `${d.left}%`, bottom: `${6 + d.lane * 8}px` }}
                />
              ))}
            </span>
            <span className="missing small num">{missing.length > 0 && `${missing.length} not yet`}</span>
          </div>
        );
      })}
      {times.length > 0 && (
        <div className="region axis small faint num">
          <span />
          <span />
          <span className="lane">
            {marks.map((m, i) => (
              <span
                key={m}
                className={i === 0 ? "first" : i === marks.length - 1 ? "last" : ""}
                style={{ left: `${(100 * m) / end}%` }}
              >
                {m === 0 ? "0" : span(m / 1000)}
              </span>
            ))}
          </span>
          <span />
        </div>
      )}
    </div>
  );
}

function describe(rows: [string, Arrival[]][]): string {
  return rows
    .map(([region, some]) => {
      const each = some.map((a) => {
        const when =
          a.after === undefined ? "not yet" : a.after === "before" ? "had it before" : span(Number(a.after) / 1000);
        return `${a.relay.instanceId} ${when}`;
      });
      return `${region || "No region"}: ${each.slice(0, 20).join(", ")}${each.length > 20 ? ` and ${each.length - 20} more` : ""}.`;
    })
    .join(" ");
}
