import "./audit.css";
import { ScrollText } from "lucide-react";
import { useCallback, useMemo } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { useEnvironment } from "../../api/use-environment";
import { useLive } from "../../api/use-live";
import { Button, Empty, Loading } from "../../components/basics";
import { PageHead } from "../../components/page";
import { ProblemNote } from "../../components/problem";
import { entryId } from "../../lib/entry-words";
import { zone } from "../../lib/time";
import { byCommit, byDay } from "./entries";
import { EntryRow } from "./entry-row";
import { type AuditQuery, filtersSet, noQuery, readQuery, writeQuery } from "./filter";
import { Filters } from "./filters";
import { Older } from "./older";
import { TrailHead } from "./trail-head";
import { useEntries } from "./use-entries";

const about: Record<string, string> = {
  "": "Every change, who made it and why. What the decider did is here, too.",
  _access: "Who may do what, and who changed that.",
  _store: "What happened to the store as a whole, such as a new epoch after a restoration.",
};

export default function Audit() {
  const environment = useEnvironment();
  const [, navigate] = useLocation();
  const search = useSearch();
  const query = useMemo(() => readQuery(search), [search]);
  const { pages, entries } = useEntries(environment, query);
  const connection = useLive((l) => l.connection);
  const days = useMemo(() => byDay(entries), [entries]);
  const people = useMemo(() => [...new Set(entries.map((e) => e.actor))].filter(Boolean).sort(), [entries]);
  const address = useCallback(
    (q: AuditQuery) => {
      const text = writeQuery(q);
      return `/${environment}/audit${text ? `?${text}` : ""}`;
    },
    [environment],
  );
  const ask = useCallback(
    (change: Partial<AuditQuery>) => navigate(address({ ...query, ...change }), { replace: true }),
    [query, address, navigate],
  );
  // Another question, to come back from.
  const narrow = useCallback(
    (to: Partial<AuditQuery>) => navigate(address({ ...noQuery, trail: query.trail, ...to })),
    [query.trail, address, navigate],
  );

  return (
    <div className="page">
      <PageHead title="Audit trail" tab={`Audit trail · ${environment}`}>
        {about[query.trail]} Times are by your clock ({zone(new Date())}).
      </PageHead>
      <nav className="tabs" aria-label="Trails">
        {["", "_access", "_store"].map((trail) => (
          <Link
            key={trail}
            href={address({ ...noQuery, trail })}
            aria-current={trail === query.trail ? "page" : undefined}
          >
            {{ "": environment, _access: "People and services", _store: "Store" }[trail]}
          </Link>
        ))}
      </nav>
      <Filters query={query} people={people} ask={ask} />
      <div className="audit-columns">
        <section className="card" aria-label="Entries" aria-busy={pages.isFetching}>
          {pages.error && entries.length === 0 ? (
            <div className="body">
              <ProblemNote failure={pages.error} again={() => void pages.refetch()} />
            </div>
          ) : pages.isPending ? (
            <div className="body">
              <Loading rows={9} label="Loading the entries" />
            </div>
          ) : entries.length === 0 && !pages.hasNextPage ? (
            <Nothing
              filtered={filtersSet(query) > 0}
              trail={query.trail}
              clear={() => ask({ ...noQuery, trail: query.trail })}
            />
          ) : (
            days.map((d) => (
              <section key={d.day} className="day">
                <h2>{d.day}</h2>
                <ol>
                  {byCommit(d.entries).map((c) => (
                    <EntryRow key={entryId(c.entry)} commit={c} environment={environment} narrow={narrow} />
                  ))}
                </ol>
              </section>
            ))
          )}
          {pages.isFetchNextPageError && (
            <div className="body">
              <ProblemNote failure={pages.error} />
            </div>
          )}
          {pages.hasNextPage && (
            <Older
              busy={pages.isFetchingNextPage}
              failed={pages.isFetchNextPageError}
              more={() => void pages.fetchNextPage()}
            />
          )}
          {!pages.hasNextPage && entries.length > 0 && pages.isSuccess && (
            <p className="end small faint">
              {filtersSet(query) > 0 ? "Nothing older was found." : "This is where the trail begins."}
              {connection === "live" && " New entries appear at the top by themselves."}
            </p>
          )}
        </section>
        <aside>
          <TrailHead trail={query.trail || environment} />
        </aside>
      </div>
    </div>
  );
}

function Nothing({ filtered, trail, clear }: { filtered: boolean; trail: string; clear: () => void }) {
  return filtered ? (
    <Empty icon={ScrollText} title="No entry is like that">
      <p>Names and keys are compared as a whole, reasons by a part of them.</p>
      <Button onClick={clear}>Show all entries</Button>
    </Empty>
  ) : trail === "" ? (
    <Empty icon={ScrollText} title="Nothing was changed yet, unless keys were">
      <p>
        The first change will be the first entry here. Those of keys are shown when they are asked for, under “What”.
      </p>
    </Empty>
  ) : (
    <Empty icon={ScrollText} title="Nothing was changed yet">
      <p>The first change will be the first entry here.</p>
    </Empty>
  );
}
