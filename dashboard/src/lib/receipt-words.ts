import type { Relay, WaitAppliedResponse } from "../gen/tidegate/control/v1/fleet_service_pb";
import { plural } from "./numbers";
import { ago, dateOf, secondsOf, span } from "./time";

// Who has a change, for somebody who has just switched something off.
export type ReceiptWords = {
  // "waits": those that lack it are there, and may have it soon.
  tone: "good" | "waits" | "warn";
  words: string;
  // Those that lack it, one a line.
  lacking: string[];
  // What those do meanwhile.
  serves: string;
  // Of whom it is not known.
  unsure: string;
};

const named = 5;

// `first`: it was asked as soon as the change was written. Then how long it took is known, and relays
// that are there get some time.
export function receiptOf(
  told: WaitAppliedResponse,
  { environment, first, now }: { environment: string; first: boolean; now: Date },
): ReceiptWords {
  const { applied, total, missing, reached } = told;
  const unsure = unsureWords(told.unreachableServers);
  const away = missing.some((r) => !r.connected);
  const has = `${applied} of ${plural(total, "relay")} ${total === 1 ? "has" : "have"} it`;
  if (reached) {
    const words =
      total === 0
        ? `No relay follows ${environment} now.`
        : `${has}${first ? ` ${afterWords(secondsOf(told.elapsed) ?? 0)}` : ""}.`;
    return { tone: unsure ? "warn" : "good", words, lacking: [], serves: "", unsure };
  }
  const lacking = missing.slice(0, named).map((r) => lackWords(r, now));
  const others = total - applied - lacking.length;
  if (others > 0) lacking.push(`and ${plural(others, "other")}`);
  if (first && !away && !told.last) return { tone: "waits", words: `${has} so far.`, lacking, serves: "", unsure };
  const lack = total - applied;
  return {
    tone: "warn",
    words: `${has}. ${lack} ${lack === 1 ? "does" : "do"} not:`,
    lacking,
    serves: servesWords(lack === 1, away, away && missing.every((r) => !r.connected)),
    unsure,
  };
}

function lackWords(r: Relay, now: Date): string {
  const seen = dateOf(r.lastSeen);
  const how = r.connected
    ? "connected, and does not use it yet"
    : `not connected, ${seen ? `last seen ${ago(seen, now)}` : "not seen since the server started"}`;
  return `${r.instanceId}${r.region && ` (${r.region})`}: ${how}`;
}

function servesWords(one: boolean, away: boolean, allAway: boolean): string {
  const until = one ? `it ${allAway ? "comes back" : "has this"}` : `they ${allAway ? "come back" : "have this"}`;
  if (one) return `${away ? "If it still runs, it" : "It"} serves what it had until ${until}.`;
  return `${away ? "Those that still run" : "They"} serve what they had until ${until}.`;
}

function unsureWords(servers: string[]): string {
  if (servers.length === 0) return "";
  const one = servers.length === 1;
  return `The server${one ? "" : "s"} ${servers.join(", ")} did not answer: relays of ${one ? "it" : "theirs"} may lack it.`;
}

// How long it took until the last one had it, since it was asked: some are faster than the question.
function afterWords(seconds: number): string {
  return seconds < 0.001 ? "already" : `after ${span(seconds)}`;
}
