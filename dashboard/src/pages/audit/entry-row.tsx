import {
  Ban,
  CirclePlay,
  CircleX,
  Clock3,
  FastForward,
  type LucideIcon,
  Pencil,
  Plus,
  Power,
  RotateCcw,
  Trash2,
} from "lucide-react";
import { memo, useState } from "react";
import { Link } from "wouter";
import { CopyButton } from "../../components/basics";
import { Changes, changesSummary, subjectOf } from "../../components/changes";
import { EntrySentence } from "../../components/entry-sentence";
import { Action, type AuditEntry, ResourceKind } from "../../gen/tidegate/control/v1/audit_pb";
import { entryId, entryPath, entryTone, entryWords } from "../../lib/entry-words";
import { reasonWords } from "../../lib/figures";
import { dateOf, exactly, secondClock } from "../../lib/time";
import type { Commit } from "./entries";

const icons: Partial<Record<Action, LucideIcon>> = {
  [Action.CREATED]: Plus,
  [Action.DELETED]: Trash2,
  [Action.ENABLED]: Power,
  [Action.DISABLED]: Power,
  [Action.RESTORED]: RotateCcw,
  [Action.STARTED]: CirclePlay,
  [Action.ADVANCED]: FastForward,
  [Action.HELD]: Clock3,
  [Action.PAUSED]: Clock3,
  [Action.ROLLED_BACK]: CircleX,
  [Action.TRIPPED]: CircleX,
  [Action.ABORTED]: Ban,
};

const hex = (bytes: Uint8Array) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");

type Narrow = (to: { request?: string; key?: string; kind?: ResourceKind }) => void;

// One commit: a sentence, why, and, when it is opened, everything that is known of it.
export const EntryRow = memo(
  function EntryRow({
    commit: { entry, along },
    environment,
    narrow,
  }: {
    commit: Commit;
    environment: string;
    // Asks for what else there is of the same request, or of the same thing.
    narrow: Narrow;
  }) {
    const Icon = icons[entry.action] ?? Pencil;
    const at = dateOf(entry.time);
    return (
      <li className="entry">
        <span className={`mark ${entryTone(entry)}`} aria-hidden>
          <Icon size={14} />
        </span>
        <div className="said">
          <div className="row spread first">
            <EntrySentence entry={entry} environment={environment} />
            {at && (
              <time className="small soft num nowrap" dateTime={at.toISOString()} title={exactly(at)}>
                {secondClock(at)}
              </time>
            )}
          </div>
          <p className="why soft">{reasonWords(entry) || <span className="faint">No reason was given.</span>}</p>
          <More entry={entry} environment={environment} narrow={narrow} summary={changesSummary(entry) || "Details"} />
          {along.map((e) => (
            <More
              key={entryId(e)}
              entry={e}
              environment={environment}
              narrow={narrow}
              summary={`With it: ${entryWords(e)}`}
            />
          ))}
        </div>
      </li>
    );
  },
  (a, b) =>
    a.commit.entry === b.commit.entry &&
    a.commit.along.length === b.commit.along.length &&
    a.environment === b.environment &&
    a.narrow === b.narrow,
);

function More({ summary, ...rest }: { entry: AuditEntry; environment: string; narrow: Narrow; summary: string }) {
  const [open, setOpen] = useState(false);
  return (
    <details className="more small" onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>{summary}</summary>
      {open && <Everything {...rest} />}
    </details>
  );
}

function Everything({ entry, environment, narrow }: { entry: AuditEntry; environment: string; narrow: Narrow }) {
  const path = entryPath(entry);
  const restorable = entry.kind === ResourceKind.FLAG || entry.kind === ResourceKind.SEGMENT;
  return (
    <div className="stack tight everything">
      {entry.changes.length > 0 && (
        <Changes changes={entry.changes} subject={subjectOf(entry.kind, entry.resource.value)} />
      )}
      <dl className="kv">
        <dt>Revision</dt>
        <dd className="num">
          {entry.revision.toString()}
          {entry.previousRevision > 0n && <span className="soft"> after {entry.previousRevision.toString()}</span>}
        </dd>
        <dt>Change</dt>
        <dd className="num">number {entry.sequence.toString()} of it</dd>
        <dt>From</dt>
        <dd>{entry.peer || <span className="faint">not told</span>}</dd>
        {entry.requestId && (
          <>
            <dt>Request</dt>
            <dd>
              <button type="button" className="link mono" onClick={() => narrow({ request: entry.requestId })}>
                {entry.requestId}
              </button>
            </dd>
          </>
        )}
        <dt title="SHA-256 of the entry before it of the same thing: what makes the entries a chain">Before it</dt>
        <dd className="row tight fixed">
          {entry.previousHash.length > 0 ? (
            <>
              <code className="truncate">{hex(entry.previousHash)}</code>
              <CopyButton text={hex(entry.previousHash)} label="Copy the hash" />
            </>
          ) : (
            <span className="faint">nothing, this is the first</span>
          )}
        </dd>
      </dl>
      <div className="row">
        {path && <Link href={`/${environment}${path}`}>Show it</Link>}
        {path && restorable && (
          <Link href={`/${environment}${path}?tab=history`}>Its versions, and how to go back</Link>
        )}
        <button type="button" className="link" onClick={() => narrow({ key: entry.key, kind: entry.kind })}>
          All of its entries
        </button>
      </div>
    </div>
  );
}
