import type { FreezeWindow } from "../../gen/tidegate/control/v1/environment_pb";
import { byDay, clockOf, dayNames, stretches } from "./week";

// A week, and when it is frozen; each window by the clock of its own time zone.
export function Week({ windows }: { windows: FreezeWindow[] }) {
  const pieces = windows.flatMap((w) => byDay(stretches(w)).map((p) => ({ ...p, name: w.name })));
  if (pieces.length === 0) return null;
  return (
    <figure>
      <div className="week" aria-hidden>
        {dayNames.map((name, day) => (
          <Day key={name} name={name} pieces={pieces.filter((p) => p.day === day)} />
        ))}
        <div className="hours">
          {[0, 6, 12, 18, 24].map((h) => (
            <span key={h}>{h}:00</span>
          ))}
        </div>
      </div>
      <figcaption className="visually-hidden">
        {pieces.map((p) => `${dayNames[p.day]} ${clockOf(p.from)} to ${clockOf(p.to)}: ${p.name}. `)}
      </figcaption>
    </figure>
  );
}

function Day({ name, pieces }: { name: string; pieces: { from: number; to: number; name: string }[] }) {
  return (
    <>
      <span className="soft">{name}</span>
      <div className="day">
        {pieces.map((p) => (
          <span
            key={`${p.name}/${p.from}`}
            title={`${p.name}: ${clockOf(p.from)} to ${clockOf(p.to)}`}
            style={{ left: `${(p.from / 1440) * 100}%`, width: `${((p.to - p.from) / 1440) * 100}%` }}
          />
        ))}
      </div>
    </>
  );
}
