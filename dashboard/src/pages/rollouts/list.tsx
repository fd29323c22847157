import "../../styles/filters.css";
import "./rollouts.css";
import { Activity, FlaskConical, Plus, Search } from "lucide-react";
import { useEffect, useMemo, useState } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { useEnvironment } from "../../api/use-environment";
import { useLive } from "../../api/use-live";
import { useRefusal } from "../../api/use-write";
import { Button, Empty, Input, Loading, Select } from "../../components/basics";
import { PageHead } from "../../components/page";
import type { RolloutSummary } from "../../gen/tidegate/control/v1/watch_service_pb";
import { plural } from "../../lib/numbers";
import { isExperiment, isOver } from "../../lib/rollout-words";
import { filterRollouts, noQuery, type RolloutQuery, readQuery, writeQuery } from "./filter";
import { RolloutRow } from "./rollout-row";

const said = {
  rollouts: { title: "Rollouts", one: "rollout", start: "Start a rollout", query: "" },
  experiments: { title: "Experiments", one: "experiment", start: "Start an experiment", query: "?strategy=experiment" },
};

// How the evidence stands comes a moment after the rest: rows that grow by it would push others away.
function useReady(rollouts: RolloutSummary[]): boolean {
  const ready = useLive((l) => l.ready);
  const told = useLive((l) => l.standings.size > 0);
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), 1500);
    return () => clearTimeout(timer);
  }, []);
  return ready && (told || late || rollouts.every((r) => isOver(r.status)));
}

// What is under way, as it stands now; then what is over, and how it ended.
export function RolloutList({ kind }: { kind: "rollouts" | "experiments" }) {
  const environment = useEnvironment();
  const all = useLive((l) => l.rollouts);
  const known = useLive((l) => l.flags);
  const search = useSearch();
  const [, navigate] = useLocation();
  const query = useMemo(() => readQuery(search), [search]);
  const experiments = kind === "experiments";
  const found = useMemo(
    () => filterRollouts(all.values(), query, experiments, (r) => ownerOf(r, known)),
    [all, query, experiments, known],
  );
  const mine = useMemo(() => [...all.values()].filter((r) => !experiments || isExperiment(r)), [all, experiments]);
  const flags = useMemo(() => [...new Set(mine.map((r) => r.flagKey))].sort(), [mine]);
  const owners = useMemo(() => [...new Set(mine.map((r) => ownerOf(r, known)))].filter(Boolean).sort(), [mine, known]);
  const ready = useReady(mine);
  const may = useRefusal(environment)() === undefined;
  const words = said[kind];
  function ask(change: Partial<RolloutQuery>) {
    const text = writeQuery({ ...query, ...change });
    navigate(`/${environment}/${kind}${text ? `?${text}` : ""}`, { replace: true });
  }
  const start = may && (
    <Link className="button primary" href={`/${environment}/rollouts/~new${words.query}`}>
      <Plus size={16} aria-hidden /> {words.start}
    </Link>
  );
  return (
    <div className="page">
      <PageHead title={words.title} tab={`${words.title} · ${environment}`} actions={start}>
        {ready ? `${plural(mine.length, words.one)}, ${found.active.length} under way` : "Loading…"}
      </PageHead>
      <search className="filters rollout-filters">
        <div className="search">
          <Search size={15} aria-hidden />
          <Input
            type="search"
            aria-label={`Search the ${kind}`}
            placeholder="Search by key, flag, variant or guardrail"
            value={query.text}
            onChange={(e) => ask({ text: e.target.value })}
          />
        </div>
        <Select
          aria-label="State"
          value={query.state}
          onChange={(e) => ask({ state: e.target.value as RolloutQuery["state"] })}
        >
          <option value="">Any state</option>
          <option value="active">Under way</option>
          <option value="running">Running</option>
          <option value="paused">Paused</option>
          <option value="completed">Complete</option>
          <option value="rolled-back">Rolled back</option>
          <option value="aborted">Aborted</option>
        </Select>
        <Select aria-label="Flag" value={query.flag} onChange={(e) => ask({ flag: e.target.value })}>
          <option value="">Any flag</option>
          {query.flag && !flags.includes(query.flag) && <option>{query.flag}</option>}
          {flags.map((f) => (
            <option key={f}>{f}</option>
          ))}
        </Select>
        <Select aria-label="Owner" value={query.owner} onChange={(e) => ask({ owner: e.target.value })}>
          <option value="">Any owner</option>
          {query.owner && !owners.includes(query.owner) && <option>{query.owner}</option>}
          {owners.map((o) => (
            <option key={o}>{o}</option>
          ))}
        </Select>
      </search>
      {!ready ? (
        <section className="card" aria-label={words.title}>
          <div className="body">
            <Loading rows={5} label={`Loading the ${kind}`} />
          </div>
        </section>
      ) : found.active.length + found.over.length === 0 ? (
        <Nothing
          kind={kind}
          none={mine.length === 0}
          environment={environment}
          start={start}
          clear={() => ask(noQuery)}
        />
      ) : (
        <>
          <Group title="Under way" rows={found.active} environment={environment} kind={kind} />
          <Group title="Over" rows={found.over} environment={environment} kind={kind} />
        </>
      )}
    </div>
  );
}

// Whom to ask: the rollout's owner, or its flag's.
function ownerOf(r: RolloutSummary, flags: ReadonlyMap<string, { owner: string }>): string {
  return r.owner || (flags.get(r.flagKey)?.owner ?? "");
}

function Group(props: { title: string; rows: RolloutSummary[]; environment: string; kind: string }) {
  const standings = useLive((l) => l.standings);
  const flags = useLive((l) => l.flags);
  if (props.rows.length === 0) return null;
  return (
    <section className="card" aria-label={props.title}>
      <header>
        <h2>{props.title}</h2>
        <span className="small soft num">{props.rows.length}</span>
      </header>
      <ul className="rollout-list">
        {props.rows.map((r) => (
          <RolloutRow
            key={r.key}
            rollout={r}
            owner={ownerOf(r, flags)}
            assessment={standings.get(r.key)?.assessment}
            href={`/${props.environment}/${props.kind}/${encodeURIComponent(r.key)}`}
          />
        ))}
      </ul>
    </section>
  );
}

function Nothing(props: {
  kind: "rollouts" | "experiments";
  none: boolean;
  environment: string;
  start: React.ReactNode;
  clear: () => void;
}) {
  const words = said[props.kind];
  return (
    <section className="card" aria-label={words.title}>
      {props.none ? (
        <Empty
          icon={props.kind === "rollouts" ? Activity : FlaskConical}
          title={`There are no ${props.kind} in ${props.environment} yet`}
        >
          <p>
            {props.kind === "rollouts"
              ? "A rollout widens a variant stage by stage while its guardrails are safe, and shuts it within seconds when they are not."
              : "An experiment is a rollout with a success metric: it says whether the treatment is better, and how sure that is."}
          </p>
          {props.start}
        </Empty>
      ) : (
        <Empty icon={Search} title={`No ${words.one} is like that`}>
          <Button onClick={props.clear}>Show all</Button>
        </Empty>
      )}
    </section>
  );
}
