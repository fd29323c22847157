import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { ArrowDown, ArrowUp } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { useLive } from "../../api/use-live";
import type { FlagSummary } from "../../gen/tidegate/control/v1/watch_service_pb";
import type { FlagQuery } from "./filter";
import { FlagRow } from "./flag-row";

const rowHeight = 62;

// The table of flags: of however many, those in sight are there.
export function Rows({
  found,
  query,
  ask,
  environment,
  onSwitch,
  refusal,
  switching,
}: {
  found: FlagSummary[];
  query: FlagQuery;
  ask: (change: Partial<FlagQuery>) => void;
  environment: string;
  onSwitch: (flag: FlagSummary, on: boolean) => void;
  // Why somebody may not change what has a key.
  refusal: (key: string) => string | undefined;
  switching?: string;
}) {
  const activities = useLive((l) => l.activities);
  const list = useRef<HTMLDivElement>(null);
  const [margin, setMargin] = useState(0);
  useEffect(() => setMargin(list.current?.offsetTop ?? 0), []);
  const rows = useWindowVirtualizer({
    count: found.length,
    estimateSize: () => rowHeight,
    overscan: 6,
    scrollMargin: margin,
    getItemKey: (i) => found[i]?.key ?? i,
  });

  // Arrows, or j and k, walk from flag to flag.
  function walk(e: React.KeyboardEvent) {
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[e.key];
    const at = (document.activeElement as HTMLElement | null)?.dataset.flag;
    if (!step || at === undefined) return;
    e.preventDefault();
    const to = found.findIndex((f) => f.key === at) + step;
    const next = found[to];
    if (!next) return;
    rows.scrollToIndex(to);
    requestAnimationFrame(() =>
      list.current?.querySelector<HTMLElement>(`[data-flag="${CSS.escape(next.key)}"]`)?.focus(),
    );
  }

  const heading = (sort: FlagQuery["sort"], name: string) => (
    <button type="button" onClick={() => ask({ sort, down: query.sort === sort && !query.down })}>
      {name}{" "}
      {query.sort === sort && (query.down ? <ArrowUp size={12} aria-hidden /> : <ArrowDown size={12} aria-hidden />)}
    </button>
  );

  return (
    <div role="table" aria-rowcount={found.length + 1} aria-label="Flags" onKeyDown={walk}>
      <div role="row" className="head" aria-rowindex={1}>
        <span role="columnheader">On</span>
        <span role="columnheader">{heading("key", "Flag")}</span>
        <span role="columnheader" className="medium">
          Serves
        </span>
        <span role="columnheader" className="wide">
          {heading("evaluations", "Last hour")}
        </span>
        <span role="columnheader" className="wide">
          Owner
        </span>
        <span role="columnheader" className="medium">
          {heading("changed", "Changed")}
        </span>
      </div>
      <div ref={list} role="rowgroup" className="rows" style={{ height: rows.getTotalSize() }}>
        {rows.getVirtualItems().map((item) => {
          const flag = found[item.index];
          return (
            flag && (
              <FlagRow
                key={item.key}
                flag={flag}
                activity={activities.get(flag.key)}
                environment={environment}
                top={item.start - margin}
                index={item.index}
                busy={switching === flag.key}
                onSwitch={onSwitch}
                no={refusal(flag.key)}
              />
            )
          );
        })}
      </div>
    </div>
  );
}
