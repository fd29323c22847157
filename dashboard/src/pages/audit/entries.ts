import { type AuditEntry, ResourceKind } from "../../gen/tidegate/control/v1/audit_pb";
import { entryId } from "../../lib/entry-words";
import { dateOf } from "../../lib/time";

// Entries from several places as one list, each once, newest first. The first of those that are
// the same is kept: it may say more.
export function joined(...lists: (readonly AuditEntry[])[]): AuditEntry[] {
  const all = new Map<string, AuditEntry>();
  for (const list of lists)
    for (const e of list) {
      const id = entryId(e);
      if (!all.has(id)) all.set(id, e);
    }
  return [...all.values()].sort((a, b) =>
    a.revision === b.revision ? (entryId(a) < entryId(b) ? -1 : 1) : a.revision < b.revision ? 1 : -1,
  );
}

// Whether entries may be missing between what was read at a revision and the newest ones, which a
// stream begins anew: how many those are says nothing, who may not read all of them gets fewer.
// At 0 nothing was known of the stream.
export function hasGap(readAt: bigint, newest: readonly AuditEntry[]): boolean {
  const oldest = newest.at(-1);
  return readAt > 0n && !!oldest && oldest.revision > readAt;
}

// What was written by one commit: what it is best told by, and what else.
export type Commit = { entry: AuditEntry; along: AuditEntry[] };

// Entries, newest first, by commit. A rollout tells more than the flag that changed with it.
export function byCommit(entries: readonly AuditEntry[]): Commit[] {
  const commits: AuditEntry[][] = [];
  for (const e of entries) {
    const last = commits.at(-1);
    if (last?.[0]?.revision === e.revision) last.push(e);
    else commits.push([e]);
  }
  return commits.flatMap((all) => {
    const entry = all.find((e) => e.kind === ResourceKind.ROLLOUT) ?? all[0];
    return entry ? [{ entry, along: all.filter((e) => e !== entry) }] : [];
  });
}

export type Day = { day: string; entries: AuditEntry[] };

const dayFormat = new Intl.DateTimeFormat("en", { weekday: "long", day: "numeric", month: "long", year: "numeric" });

// The entries by the day, by the clock of who looks.
export function byDay(entries: readonly AuditEntry[]): Day[] {
  const days: Day[] = [];
  for (const e of entries) {
    const date = dateOf(e.time);
    const day = date ? dayFormat.format(date) : "At an unknown time";
    const last = days.at(-1);
    if (last?.day === day) last.entries.push(e);
    else days.push({ day, entries: [e] });
  }
  return days;
}
