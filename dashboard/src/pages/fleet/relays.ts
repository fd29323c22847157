import type { AppliedEnvironment, Relay } from "../../gen/tidegate/control/v1/fleet_service_pb";
import { plural } from "../../lib/numbers";
import { secondsOf, span } from "../../lib/time";

// What a relay has of an environment; undefined: it does not follow it.
export function appliedOf(relay: Relay, environment: string): AppliedEnvironment | undefined {
  return relay.environments.find((e) => e.environment === environment);
}

export function revisionOf(relay: Relay, environment: string): bigint | undefined {
  return appliedOf(relay, environment)?.cursor?.revision;
}

export type Standing = { tone: "good" | "warn" | "bad"; words: string; why: string };

// How a relay stands, in a word, and what that means.
export function standingOf(relay: Relay, environment: string): Standing {
  const applied = appliedOf(relay, environment);
  if (!relay.connected)
    return {
      tone: "bad",
      words: "not connected",
      why: "It may be stopped, or cut off. If it runs, it goes on serving what it has.",
    };
  if (!applied?.cursor)
    return { tone: "warn", words: "has nothing yet", why: "It has not applied a state of this environment." };
  if (applied.rejections > 0)
    return {
      tone: "bad",
      words: `cannot use ${applied.rejections}`,
      why: `It cannot use ${plural(applied.rejections, "flag or segment", "flags or segments")}, and serves the last version that it could use. Its version may be too old.`,
    };
  const lag = secondsOf(applied.lag) ?? 0;
  // Less than a second is a change on its way, and is told anew only every few seconds.
  if (lag >= 1)
    return {
      tone: lag >= 10 ? "bad" : "warn",
      words: `${span(lag)} behind`,
      why: "There has been something newer for that long.",
    };
  return { tone: "good", words: "up to date", why: "It has the newest state of this environment." };
}

export type Region = { name: string; relays: Relay[]; upToDate: number };

// The relays by region, those without one last.
export function byRegion(relays: Iterable<Relay>, environment: string): Region[] {
  const regions = new Map<string, Region>();
  for (const relay of relays) {
    const region = regions.get(relay.region) ?? { name: relay.region, relays: [], upToDate: 0 };
    region.relays.push(relay);
    if (standingOf(relay, environment).tone === "good") region.upToDate++;
    regions.set(relay.region, region);
  }
  const order = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
  const all = [...regions.values()].sort((a, b) => Number(!a.name) - Number(!b.name) || order(a.name, b.name));
  for (const region of all) region.relays.sort((a, b) => order(a.instanceId, b.instanceId));
  return all;
}
