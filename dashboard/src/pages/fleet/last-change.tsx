import { useMemo } from "react";
import { useLive } from "../../api/use-live";
import { Ago, Card, Skeleton } from "../../components/basics";
import { EntrySentence } from "../../components/entry-sentence";
import type { AuditEntry } from "../../gen/tidegate/control/v1/audit_pb";
import type { WaitAppliedResponse } from "../../gen/tidegate/control/v1/fleet_service_pb";
import { entryId } from "../../lib/entry-words";
import { plural } from "../../lib/numbers";
import { dateOf } from "../../lib/time";
import { type Arrival, arrivals, type Passings } from "./propagation";
import { SpreadChart } from "./spread-chart";
import { measuredWords, olderWords, unmeasuredWords } from "./spread-words";
import { useApplied } from "./use-passings";

// How the newest change came to the relays, and how those before it did.
export function LastChange({
  environment,
  entries,
  passings,
}: {
  environment: string;
  // Those that relays are sent, newest first.
  entries: AuditEntry[];
  passings: Passings;
}) {
  const relays = useLive((l) => l.relays);
  const [newest, ...older] = entries;
  const told = useApplied(environment, newest?.revision ?? 0n);
  const spread = useMemo(() => (newest ? arrivals(newest, relays.values(), passings) : []), [newest, relays, passings]);
  if (!newest)
    return (
      <Card title="The newest change">
        <p className="soft">Nothing was changed yet: there is nothing that the relays would have to be sent.</p>
      </Card>
    );
  return (
    <Card title="The newest change">
      <div className="stack">
        <div>
          <EntrySentence entry={newest} environment={environment} />
          <div className="small soft">
            <Ago at={dateOf(newest.time)} /> · revision <span className="num">{newest.revision.toString()}</span>
          </div>
        </div>
        <Applied told={told} />
        <SpreadChart spread={spread} />
        <p className="small soft">{spreadWords(spread)}</p>
        <Older entries={older.slice(0, 4)} environment={environment} passings={passings} />
      </div>
    </Card>
  );
}

function Applied({ told }: { told: WaitAppliedResponse | undefined }) {
  if (!told) return <Skeleton height={39} width="60%" />;
  const done = told.applied >= told.total;
  return (
    <div className="stack tight" role="status">
      <strong className="applied num">
        {told.applied} of {plural(told.total, "relay")} {told.applied === 1 && told.total === 1 ? "has" : "have"} it
      </strong>
      <span className="bar" aria-hidden>
        <span
          style={{
            width: `${(100 * told.applied) / Math.max(1, told.total)}%`,
            background: done ? "var(--good)" : "var(--warn)",
          }}
        />
      </span>
      {!done && told.missing.length > 0 && (
        <span className="small">
          Not yet:{" "}
          {told.missing
            .slice(0, 5)
            .map((r) => r.instanceId)
            .join(", ")}
          {told.missing.length > 5 && ` and ${told.missing.length - 5} more`}
        </span>
      )}
    </div>
  );
}

function spreadWords(spread: Arrival[]): string {
  const words = measuredWords(spread);
  if (!words)
    return `Times are measured while this page is open, from the commit until the server has heard that a relay applied it and keeps it. ${unmeasuredWords(spread)}`;
  return `${words} Measured while this page is open, by the clock of the servers, until they have heard of it; relays of other servers are looked at once a second.`;
}

function Older({ entries, environment, passings }: { entries: AuditEntry[]; environment: string; passings: Passings }) {
  const relays = useLive((l) => l.relays);
  const measured = entries
    .map((entry) => ({ entry, words: olderWords(arrivals(entry, relays.values(), passings)) }))
    .filter((m) => m.words);
  if (measured.length === 0) return null;
  return (
    <div className="stack tight">
      <h3>Before that</h3>
      <ul className="stack tight">
        {measured.map(({ entry, words }) => (
          <li key={entryId(entry)} className="row spread small">
            <EntrySentence entry={entry} environment={environment} />
            <span className="soft num">{words}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}
