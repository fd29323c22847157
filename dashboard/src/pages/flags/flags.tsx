import "./flags.css";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { ArrowDown, ArrowUp, Flag, GitCompare, Plus, Search } from "lucide-react";
import { useCallback, useDeferredValue, useEffect, useMemo, useRef, useState } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { useEnvironment } from "../../api/use-environment";
import { useLive } from "../../api/use-live";
import { useRefusal } from "../../api/use-write";
import { Button, Empty, Input, Loading, Select } from "../../components/basics";
import { PageHead } from "../../components/page";
import type { FlagSummary } from "../../gen/tidegate/control/v1/watch_service_pb";
import { FlagKind } from "../../gen/tidegate/flag/v1/flag_pb";
import { kindWords } from "../../lib/flag-words";
import { plural } from "../../lib/numbers";
import { type FlagQuery, facet, filterFlags, noQuery, readQuery, writeQuery } from "./filter";
import { FlagRow } from "./flag-row";
import { SwitchDialog } from "./switch-dialog";

const rowHeight = 62;

export default function Flags() {
  const environment = useEnvironment();
  const flags = useLive((l) => l.flags);
  const activities = useLive((l) => l.activities);
  const ready = useLive((l) => l.ready);
  const [, navigate] = useLocation();
  const search = useSearch();
  const query = useMemo(() => readQuery(search), [search]);
  const asked = useDeferredValue(query);
  const found = useMemo(() => filterFlags(flags.values(), activities, asked), [flags, activities, asked]);
  const [switching, setSwitching] = useState<{
    flag: FlagSummary;
    on: boolean;
  }>();
  const ask = useCallback(
    (change: Partial<FlagQuery>) => {
      const text = writeQuery({ ...query, ...change });
      navigate(`/${environment}/flags${text ? `?${text}` : ""}`, {
        replace: true,
      });
    },
    [query, environment, navigate],
  );
  const onSwitch = useCallback((flag: FlagSummary, on: boolean) => setSwitching({ flag, on }), []);
  const refusal = useRefusal(environment);
  const mayWrite = refusal() === undefined;

  return (
    <div className="page">
      <PageHead
        title="Flags"
        tab={`Flags · ${environment}`}
        actions={
          <>
            <Link className="button" href={`/${environment}/environments/compare`}>
              <GitCompare size={16} aria-hidden /> Across environments
            </Link>
            {mayWrite && (
              <Link className="button primary" href={`/${environment}/flags/new`}>
                <Plus size={16} aria-hidden /> New flag
              </Link>
            )}
          </>
        }
      >
        {ready ? summary(flags, found.length) : "Loading…"}
      </PageHead>
      <Filters query={query} flags={flags} ask={ask} />
      <section className="card flag-list" aria-label="Flags">
        {!ready ? (
          <div className="body">
            <Loading rows={8} label="Loading the flags" />
          </div>
        ) : found.length === 0 ? (
          <Nothing none={flags.size === 0} environment={environment} clear={() => ask(noQuery)} mayWrite={mayWrite} />
        ) : (
          <Rows
            found={found}
            query={query}
            ask={ask}
            environment={environment}
            onSwitch={onSwitch}
            refusal={refusal}
            switching={switching?.flag.key}
          />
        )}
      </section>
      {switching && (
        <SwitchDialog
          flag={switching.flag}
          on={switching.on}
          environment={environment}
          onClose={() => setSwitching(undefined)}
        />
      )}
    </div>
  );
}

function summary(flags: ReadonlyMap<string, FlagSummary>, found: number): string {
  const on = [...flags.values()].filter((f) => f.enabled).length;
  const all = `${plural(flags.size, "flag")}, ${on} on`;
  return found === flags.size ? all : `${found} of ${all}`;
}

function Filters({
  query,
  flags,
  ask,
}: {
  query: FlagQuery;
  flags: ReadonlyMap<string, FlagSummary>;
  ask: (change: Partial<FlagQuery>) => void;
}) {
  const box = useRef<HTMLInputElement>(null);
  const owners = useMemo(() => facet(flags.values(), (f) => [f.owner]), [flags]);
  const tags = useMemo(() => facet(flags.values(), (f) => f.tags), [flags]);
  useEffect(() => {
    const onKey = (e: KeyboardEvent) => {
      const at = e.target as HTMLElement;
      if (e.key !== "/" || at.closest("input, textarea, select, dialog, [contenteditable]")) return;
      e.preventDefault();
      box.current?.focus();
      box.current?.select();
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);
  return (
    <search className="filters">
      <div className="search">
        <Search size={15} aria-hidden />
        <Input
          ref={box}
          type="search"
          aria-label="Search the flags"
          placeholder="Search by key, description, owner or tag"
          value={query.text}
          onChange={(e) => ask({ text: e.target.value })}
          onKeyDown={(e) => {
            if (e.key !== "ArrowDown" && e.key !== "Enter") return;
            e.preventDefault();
            document.querySelector<HTMLElement>(".flag .name")?.focus();
          }}
        />
        {query.text === "" && <kbd aria-hidden>/</kbd>}
      </div>
      <Select
        aria-label="State"
        value={query.state}
        onChange={(e) => ask({ state: e.target.value as FlagQuery["state"] })}
      >
        <option value="">Any state</option>
        <option value="on">On</option>
        <option value="off">Off</option>
        <option value="rollout">Under a rollout</option>
        <option value="stale">Stale</option>
        <option value="unusable">Unusable</option>
      </Select>
      <Select aria-label="Kind" value={query.kind} onChange={(e) => ask({ kind: Number(e.target.value) })}>
        <option value={0}>Any kind</option>
        {[FlagKind.RELEASE, FlagKind.EXPERIMENT, FlagKind.OPERATIONAL, FlagKind.PERMISSION].map((k) => (
          <option key={k} value={k}>
            {kindWords[k]}
          </option>
        ))}
      </Select>
      <Choice label="Owner" any="Any owner" all={owners} value={query.owner} choose={(owner) => ask({ owner })} />
      <Choice label="Tag" any="Any tag" all={tags} value={query.tag} choose={(tag) => ask({ tag })} />
      <Select
        aria-label="Order"
        value={query.sort}
        onChange={(e) => ask({ sort: e.target.value as FlagQuery["sort"], down: false })}
      >
        <option value="key">By key</option>
        <option value="changed">Changed last</option>
        <option value="evaluated">Evaluated last</option>
        <option value="evaluations">Evaluated most</option>
      </Select>
    </search>
  );
}

function Choice(props: { label: string; any: string; all: string[]; value: string; choose: (v: string) => void }) {
  return (
    <Select aria-label={props.label} value={props.value} onChange={(e) => props.choose(e.target.value)}>
      <option value="">{props.any}</option>
      {props.value && !props.all.includes(props.value) && <option>{props.value}</option>}
      {props.all.map((v) => (
        <option key={v}>{v}</option>
      ))}
    </Select>
  );
}

function Nothing(props: { none: boolean; environment: string; clear: () => void; mayWrite: boolean }) {
  if (!props.none)
    return (
      <Empty icon={Search} title="No flag is like that">
        <Button onClick={props.clear}>Show all flags</Button>
      </Empty>
    );
  return (
    <Empty icon={Flag} title={`There are no flags in ${props.environment} yet`}>
      <p>A flag switches code on and off while it runs, without a deployment.</p>
      <div className="row">
        {props.mayWrite && (
          <Link className="button primary" href={`/${props.environment}/flags/new`}>
            Make the first one
          </Link>
        )}
        <Link className="button" href={`/${props.environment}/learn`}>
          What is a flag?
        </Link>
      </div>
    </Empty>
  );
}

function Rows({
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
    overscan: 12,
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
