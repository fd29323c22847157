import "./environments.css";
import { useInfiniteQuery, useQueries } from "@tanstack/react-query";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { GitCompare } from "lucide-react";
import { useEffect, useMemo, useRef, useState } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { environments } from "../../api/transport";
import { useAllPages } from "../../api/use-all-pages";
import { settingsOf, useEnvironment, useEnvironments, useSettings } from "../../api/use-environment";
import { useLive } from "../../api/use-live";
import { useRefusal } from "../../api/use-write";
import { Badge, Button, Empty, Input, Loading } from "../../components/basics";
import { PageHead } from "../../components/page";
import { ProblemNote } from "../../components/problem";
import { ResourceKind } from "../../gen/tidegate/control/v1/audit_pb";
import type { Compared, Comparison } from "../../gen/tidegate/control/v1/environment_service_pb";
import { plural } from "../../lib/numbers";
import { ComparisonDialog } from "./comparison-dialog";
import { direction } from "./order";
import { PromoteDialog } from "./promote-dialog";

function useDirection(names: string[], here: string) {
  const settings = useQueries({ queries: names.map(settingsOf) });
  const known = names.map((name, i) => {
    const s = settings[i]?.data?.settings;
    return { name, from: s?.promotion?.from ?? "", guarded: !!s?.protected || (s?.approval?.approvals ?? 0) > 0 };
  });
  return direction(known, here);
}

// What differs between environments: a line for each flag and segment.
export default function Compare() {
  const here = useEnvironment();
  const names = useEnvironments().data ?? [];
  const [, navigate] = useLocation();
  const search = new URLSearchParams(useSearch());
  const chosen = (search.get("with") ?? "").split(",").filter((n) => names.includes(n));
  // Unless somebody chose: the environment before this one, this one, and the others.
  const before = useSettings(here).data?.settings?.promotion?.from ?? "";
  const first = before && names.includes(before) ? [before, here] : [here];
  const compared = chosen.length >= 2 ? chosen : [...first, ...names.filter((n) => !first.includes(n))].slice(0, 4);
  const all = search.get("all") === "1";
  const text = search.get("q") ?? "";
  const ask = (change: Record<string, string>) => {
    const next = new URLSearchParams(search);
    for (const [k, v] of Object.entries(change)) {
      if (v) next.set(k, v);
      else next.delete(k);
    }
    navigate(`/${here}/environments/compare?${next}`, { replace: true });
  };
  const revision = useLive((l) => l.entries[0]?.revision ?? 0n);
  const query = useInfiniteQuery({
    queryKey: ["compare", compared, all, revision.toString()],
    queryFn: ({ pageParam, signal }) =>
      environments.compareEnvironments(
        { environments: compared, onlyDiffering: !all, includeEnabled: true, pageSize: 1000, pageToken: pageParam },
        { signal },
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.nextPageToken || undefined,
    enabled: compared.length >= 2,
    placeholderData: (before) => before,
  });
  useAllPages(query);
  const found = useMemo(() => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return (query.data?.pages ?? [])
      .flatMap((p) => p.comparisons)
      .filter((c) => words.every((w) => c.key.toLowerCase().includes(w)));
  }, [query.data, text]);
  const [opened, setOpened] = useState<Comparison>();
  const [promoting, setPromoting] = useState(false);
  const { from, to } = useDirection(compared, here);
  const refusal = useRefusal(to || here)();
  const no = to ? refusal : undefined;
  return (
    <div className="page">
      <PageHead
        title="Compare environments"
        tab="Compare environments"
        above={
          <div className="small">
            <Link href={`/${here}/environments`}>Environments</Link>
          </div>
        }
        actions={
          compared.length >= 2 && (
            <Button kind="primary" disabled={no !== undefined} title={no} onClick={() => setPromoting(true)}>
              Promote…
            </Button>
          )
        }
      >
        Flags and segments, beside each other.
      </PageHead>
      <div className="compare-filters">
        <Input
          type="search"
          aria-label="Search the keys"
          placeholder="Search by key"
          value={text}
          onChange={(e) => ask({ q: e.target.value })}
        />
        {names.map((n) => (
          <label className="check" key={n}>
            <input
              type="checkbox"
              checked={compared.includes(n)}
              disabled={compared.includes(n) && compared.length <= 2}
              onChange={(e) =>
                ask({ with: (e.target.checked ? [...compared, n] : compared.filter((c) => c !== n)).join(",") })
              }
            />
            {n}
          </label>
        ))}
        <label className="check">
          <input type="checkbox" checked={all} onChange={(e) => ask({ all: e.target.checked ? "1" : "" })} />
          Also what is the same
        </label>
        <p className="small soft" role="status">
          {query.data
            ? `${plural(found.length, "line")}${query.hasNextPage ? " so far" : ""}, each compared with ${compared[0]}`
            : "Comparing…"}
        </p>
      </div>
      {query.isFetchNextPageError && <ProblemNote failure={query.error} again={() => void query.fetchNextPage()} />}
      {query.error && !query.data ? (
        <ProblemNote failure={query.error} again={() => void query.refetch()} />
      ) : (
        <section className="card matrix" aria-label="Comparison">
          {compared.length < 2 ? (
            <Empty icon={GitCompare} title="There is nothing to compare with">
              <p>It takes two environments that you may see.</p>
            </Empty>
          ) : !query.data ? (
            <div className="body">
              <Loading rows={8} label="Comparing" />
            </div>
          ) : found.length === 0 ? (
            <Empty icon={GitCompare} title={text ? "No key is like that" : "They are the same"} />
          ) : (
            <Matrix found={found} names={compared} open={setOpened} />
          )}
        </section>
      )}
      {opened && <ComparisonDialog comparison={opened} environments={compared} onClose={() => setOpened(undefined)} />}
      {promoting && <PromoteDialog names={names} from={from} to={to} onClose={() => setPromoting(false)} />}
    </div>
  );
}

function Matrix({ found, names, open }: { found: Comparison[]; names: string[]; open: (c: Comparison) => void }) {
  const list = useRef<HTMLDivElement>(null);
  const [margin, setMargin] = useState(0);
  useEffect(() => setMargin(list.current?.offsetTop ?? 0), []);
  const rows = useWindowVirtualizer({
    count: found.length,
    estimateSize: () => 44,
    overscan: 12,
    scrollMargin: margin,
    getItemKey: (i) => `${found[i]?.kind}/${found[i]?.key}`,
  });
  return (
    <div
      role="table"
      aria-label="What differs"
      aria-rowcount={found.length + 1}
      style={{ "--columns": names.length } as React.CSSProperties}
    >
      <div role="row" className="head">
        <span role="columnheader">Key</span>
        {names.map((n) => (
          <span role="columnheader" key={n}>
            {n}
          </span>
        ))}
      </div>
      <div ref={list} className="rows" role="rowgroup" style={{ height: rows.getTotalSize() }}>
        {rows.getVirtualItems().map((item) => {
          const c = found[item.index];
          if (!c) return null;
          return (
            <div
              key={item.key}
              role="row"
              aria-rowindex={item.index + 2}
              className="line"
              style={{ transform: `translateY(${item.start - margin}px)` }}
            >
              <span role="cell" className="truncate cell">
                <button type="button" onClick={() => open(c)} title="What differs, field by field">
                  <strong>{c.key}</strong>
                </button>{" "}
                {c.kind === ResourceKind.SEGMENT && <Badge>segment</Badge>}
              </span>
              {c.environments.map((one, i) => (
                <span role="cell" key={names[i]}>
                  <Cell one={one} first={i > 0 ? c.environments[0] : undefined} flag={c.kind === ResourceKind.FLAG} />
                </span>
              ))}
            </div>
          );
        })}
      </div>
    </div>
  );
}

// How one is in an environment, beside how it is in the first one.
function Cell({ one, first, flag }: { one: Compared; first: Compared | undefined; flag: boolean }) {
  if (one.revision === 0n)
    return !first || first.revision === 0n ? (
      <span className="faint small">–</span>
    ) : (
      <Badge tone="outline">missing</Badge>
    );
  const off = flag && !one.enabled && <Badge tone="outline">off</Badge>;
  if (!first) return <span className="row tight small soft">{off || (flag ? "on" : "there")}</span>;
  return (
    <span className="row tight">
      {first.revision === 0n ? (
        <Badge tone="accent">there</Badge>
      ) : one.differs ? (
        <Badge tone="warn">differs</Badge>
      ) : (
        <span className="soft small">same</span>
      )}
      {off}
    </span>
  );
}
