import "../../styles/filters.css";
import "./flags.css";
import { Flag, GitCompare, Plus, Search } from "lucide-react";
import { useCallback, useDeferredValue, useMemo, useState } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { useEnvironment } from "../../api/use-environment";
import { useLive } from "../../api/use-live";
import { useRefusal } from "../../api/use-write";
import { Button, Empty, Loading } from "../../components/basics";
import { PageHead } from "../../components/page";
import type { FlagSummary } from "../../gen/tidegate/control/v1/watch_service_pb";
import { plural } from "../../lib/numbers";
import { type FlagQuery, filterFlags, noQuery, readQuery, writeQuery } from "./filter";
import { Filters } from "./filters";
import { Rows } from "./rows";
import { SwitchDialog } from "./switch-dialog";

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
  const on = useMemo(() => [...flags.values()].filter((f) => f.enabled).length, [flags]);
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
              <Link className="button primary" href={`/${environment}/flags/~new`}>
                <Plus size={16} aria-hidden /> New flag
              </Link>
            )}
          </>
        }
      >
        {ready ? summary(flags.size, on, found.length) : flags.size > 0 ? `${flags.size} flags so far…` : "Loading…"}
      </PageHead>
      <Filters query={query} flags={flags} ask={ask} />
      <section className="card flag-list" aria-label="Flags">
        {!ready && found.length === 0 ? (
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

function summary(flags: number, on: number, found: number): string {
  const all = `${plural(flags, "flag")}, ${on} on`;
  return found === flags ? all : `${found} of ${all}`;
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
          <Link className="button primary" href={`/${props.environment}/flags/~new`}>
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
