import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Action, type AuditEntry, ResourceKind } from "../../gen/tidegate/control/v1/audit_pb";
import { type EntryFilter, EntryFilterSchema } from "../../gen/tidegate/control/v1/audit_service_pb";
import { dateOf } from "../../lib/time";

// What is asked of a trail. It lives in the address, so that what was found can be shared.
export type AuditQuery = {
  // Empty: that of the environment; else "_access" or "_store".
  trail: string;
  text: string;
  who: string;
  kind: ResourceKind;
  key: string;
  action: Action;
  request: string;
  // As `<input type="datetime-local">` has them: by the clock of who looks.
  since: string;
  until: string;
};

export const noQuery: AuditQuery = {
  trail: "",
  text: "",
  who: "",
  kind: ResourceKind.UNSPECIFIED,
  key: "",
  action: Action.UNSPECIFIED,
  request: "",
  since: "",
  until: "",
};

const texts = {
  trail: "trail",
  text: "q",
  who: "who",
  key: "key",
  request: "request",
  since: "since",
  until: "until",
} as const;

function named(names: Record<string, string | number>, name: string): number {
  const value = names[name.toUpperCase().replaceAll("-", "_")];
  return typeof value === "number" ? value : 0;
}

const nameOf = (name: string | undefined) => (name ?? "").toLowerCase().replaceAll("_", "-");

export function readQuery(search: string): AuditQuery {
  const p = new URLSearchParams(search);
  const q: AuditQuery = {
    ...noQuery,
    kind: named(ResourceKind, p.get("kind") ?? ""),
    action: named(Action, p.get("action") ?? ""),
  };
  for (const [field, name] of Object.entries(texts)) q[field as keyof typeof texts] = p.get(name) ?? "";
  if (q.trail !== "_access" && q.trail !== "_store") q.trail = "";
  return q;
}

export function writeQuery(q: AuditQuery): string {
  const p = new URLSearchParams();
  for (const [field, name] of Object.entries(texts)) {
    const value = q[field as keyof typeof texts];
    if (value) p.set(name, value);
  }
  if (q.kind) p.set("kind", nameOf(ResourceKind[q.kind]));
  if (q.action) p.set("action", nameOf(Action[q.action]));
  return p.toString();
}

// How many of the filters are set, beside the trail.
export function filtersSet(q: AuditQuery): number {
  return new URLSearchParams(writeQuery({ ...q, trail: "" })).size;
}

function time(text: string): Date | undefined {
  const date = new Date(text);
  return text && !Number.isNaN(date.getTime()) ? date : undefined;
}

// The same as the service has it.
export function filterOf(q: AuditQuery): EntryFilter {
  const [since, until] = [time(q.since), time(q.until)];
  return create(EntryFilterSchema, {
    kinds: q.kind ? [q.kind] : [],
    actions: q.action ? [q.action] : [],
    key: q.key.trim(),
    actor: q.who.trim(),
    reason: q.text.trim(),
    requestId: q.request.trim(),
    since: since && timestampFromDate(since),
    until: until && timestampFromDate(until),
  });
}

// Whether a filter lets an entry through, as the service would.
export function lets(f: EntryFilter, e: AuditEntry): boolean {
  const at = dateOf(e.time)?.getTime() ?? 0;
  const [since, until] = [dateOf(f.since), dateOf(f.until)];
  return (
    (f.kinds.length === 0 ? e.kind !== ResourceKind.KEY : f.kinds.includes(e.kind)) &&
    (f.actions.length === 0 || f.actions.includes(e.action)) &&
    (!f.key || e.key === f.key) &&
    (!f.actor || e.actor === f.actor) &&
    (!f.reason || e.reason.toLowerCase().includes(f.reason.toLowerCase())) &&
    (!f.requestId || e.requestId === f.requestId) &&
    (!since || at >= since.getTime()) &&
    (!until || at < until.getTime())
  );
}
