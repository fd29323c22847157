import "./variant-chart.css";
import type { FlagActivity } from "../gen/tidegate/control/v1/watch_service_pb";
import { seriesColor } from "../lib/flag-words";
import { count, percent } from "../lib/numbers";
import { clock, dateOf } from "../lib/time";

const [width, height, gap] = [280, 96, 4];

// Evaluations of the last hour by variant: stacked bars of ten minutes, and the same as a table.
export function VariantChart({ variants, activity }: { variants: string[]; activity: FlagActivity | undefined }) {
  const all = activity?.evaluations ?? [];
  const spans = Math.max(7, ...all.map((e) => e.counts.length));
  const sums = Array.from({ length: spans }, (_, i) => all.reduce((sum, e) => sum + Number(e.counts[i] ?? 0n), 0));
  const total = sums.reduce((a, b) => a + b, 0);
  if (total === 0)
    return (
      <p className="soft small chart-empty">
        No relay has told of an evaluation in the last hour. SDKs that evaluate in process do not tell of all of theirs.
      </p>
    );
  const most = Math.max(...sums);
  const slot = width / spans;
  const from = dateOf(activity?.countedFrom);
  const at = (i: number) => (from ? clock(new Date(from.getTime() + i * 600_000)) : "");
  return (
    <figure className="variant-chart">
      <svg viewBox={`0 0 ${width} ${height + 16}`} aria-hidden>
        {sums.map((sum, i) => {
          let y = height;
          return (
            // biome-ignore lint/suspicious/noArrayIndexKey: a place in time
            <g key={i}>
              <title>{`${at(i)}: ${count(sum)}`}</title>
              <rect className="ground" x={i * slot} y={0} width={slot - gap} height={height} rx={3} />
              {all.map((e) => {
                const h = (Number(e.counts[i] ?? 0n) / most) * (height - 4);
                y -= h;
                return (
                  <rect
                    key={e.variant}
                    x={i * slot}
                    y={y}
                    width={slot - gap}
                    height={h}
                    style={{ fill: seriesColor(variants.indexOf(e.variant)) }}
                  />
                );
              })}
            </g>
          );
        })}
        <text x={0} y={height + 13}>
          {at(0)}
        </text>
        <text x={width - gap} y={height + 13} textAnchor="end">
          now
        </text>
      </svg>
      <table>
        <caption className="visually-hidden">Evaluations of the last hour by variant</caption>
        <tbody>
          {all.map((e) => {
            const n = Number(e.counts.reduce((a, b) => a + b, 0n));
            return (
              <tr key={e.variant}>
                <th scope="row">
                  <span
                    className="swatch"
                    style={{ background: seriesColor(variants.indexOf(e.variant)) }}
                    aria-hidden
                  />{" "}
                  {e.variant || "the caller’s default"}
                </th>
                <td className="num">{count(n)}</td>
                <td className="num soft">{percent(n / total)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </figure>
  );
}
