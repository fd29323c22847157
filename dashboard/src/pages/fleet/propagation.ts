import type { AuditEntry } from "../../gen/tidegate/control/v1/audit_pb";
import { ResourceKind } from "../../gen/tidegate/control/v1/audit_pb";
import type { Relay } from "../../gen/tidegate/control/v1/fleet_service_pb";
import { dateOf } from "../../lib/time";
import { revisionOf } from "./relays";

// When a relay was first heard to have applied a revision, by the clock of its server.
type Passing = { revision: bigint; at: number };

// What each relay was heard to apply while the page was open, oldest first. The first one is
// what it had already.
export type Passings = ReadonlyMap<string, readonly Passing[]>;

const maxPassings = 50;

// Takes in what is known of relays now. The same map, if they applied nothing new.
export function observe(passings: Passings, relays: Iterable<Relay>, environment: string): Passings {
  let next: Map<string, readonly Passing[]> | undefined;
  for (const relay of relays) {
    const revision = revisionOf(relay, environment);
    const at = dateOf(relay.lastSeen)?.getTime();
    if (revision === undefined || at === undefined) continue;
    const before = passings.get(relay.instanceId) ?? [];
    const last = before.at(-1);
    if (last && last.revision >= revision) continue;
    next ??= new Map(passings);
    next.set(relay.instanceId, [...before, { revision, at }].slice(-maxPassings));
  }
  return next ?? passings;
}

// A relay and a change: after how many milliseconds it was applied; "before": it had it when the
// page was opened; undefined: not yet.
export type Arrival = { relay: Relay; after: number | "before" | undefined };

export function arrivals(entry: AuditEntry, relays: Iterable<Relay>, passings: Passings): Arrival[] {
  const made = dateOf(entry.time)?.getTime() ?? 0;
  return [...relays].map((relay) => {
    const all = passings.get(relay.instanceId) ?? [];
    const first = all.findIndex((p) => p.revision >= entry.revision);
    const passing = all[first];
    if (!passing) return { relay, after: undefined };
    return { relay, after: first === 0 ? "before" : Math.max(0, passing.at - made) };
  });
}

// Kinds of changes that relays are sent. Others leave their revision as it is.
const sent = new Set([ResourceKind.FLAG, ResourceKind.SEGMENT]);

export function isSent(e: AuditEntry): boolean {
  return sent.has(e.kind);
}

// Ticks of an axis of milliseconds from 0 that ends at or after `most`.
export function ticks(most: number): number[] {
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000, 300_000];
  const step = steps.find((s) => s * 4 >= most) ?? Math.ceil(most / 4);
  const count = Math.max(1, Math.ceil(most / step));
  return Array.from({ length: count + 1 }, (_, i) => i * step);
}

// The middle of some numbers, and the greatest.
export function middleAndMost(numbers: number[]): { middle: number; most: number } | undefined {
  if (numbers.length === 0) return undefined;
  const sorted = [...numbers].sort((a, b) => a - b);
  return { middle: sorted[Math.floor((sorted.length - 1) / 2)] ?? 0, most: sorted.at(-1) ?? 0 };
}
