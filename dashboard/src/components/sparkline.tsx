import type { FlagActivity, FlagSummary } from "../gen/tidegate/control/v1/watch_service_pb";
import { seriesColor } from "../lib/flag-words";
import { count } from "../lib/numbers";
import { Unknown } from "./basics";

const height = 26;
const slot = 12;

// Evaluations of the last hour by variant, in bars of ten minutes.
export function Sparkline({ flag, activity }: { flag: FlagSummary; activity: FlagActivity | undefined }) {
  const all = activity?.evaluations ?? [];
  const spans = Math.max(0, ...all.map((e) => e.counts.length));
  const sums = Array.from({ length: spans }, (_, i) => all.reduce((sum, e) => sum + Number(e.counts[i] ?? 0), 0));
  const most = Math.max(1, ...sums);
  const total = sums.reduce((a, b) => a + b, 0);
  if (!activity) return <Unknown />;
  if (total === 0) return <span className="faint small">none</span>;
  const words = all
    .map((e) => `${e.variant || "the caller's default"} ${count(e.counts.reduce((a, b) => a + b, 0n))}`)
    .join(", ");
  return (
    <span className="row tight fixed" title={`Evaluations in the last hour: ${words}`}>
      <svg width={spans * slot} height={height} role="img" aria-label={`Evaluations in the last hour: ${words}`}>
        {sums.map((_, i) => {
          let y = height;
          return all.map((e) => {
            const h = (Number(e.counts[i] ?? 0) / most) * (height - 2);
            y -= h;
            return (
              <rect
                // biome-ignore lint/suspicious/noArrayIndexKey: a place in time
                key={`${e.variant}-${i}`}
                x={i * slot}
                y={y}
                width={slot - 3}
                height={h}
                rx={1}
                style={{ fill: seriesColor(flag.variants.indexOf(e.variant)) }}
              />
            );
          });
        })}
      </svg>
      <span className="small num soft">{count(total)}</span>
    </span>
  );
}

// What is served, as a bar of its shares.
export function ShareBar({ flag, parts }: { flag: FlagSummary; parts: { variant: string; share: number }[] }) {
  return (
    <span className="bar" aria-hidden>
      {parts.map((p) => (
        <span
          key={p.variant}
          style={{
            width: `${p.share * 100}%`,
            background: seriesColor(flag.variants.indexOf(p.variant)),
          }}
        />
      ))}
    </span>
  );
}
