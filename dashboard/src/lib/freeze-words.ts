import type { Frozen } from "../gen/tidegate/rollout/v1/decision_pb";
import { dateOf, moment, zoned } from "./time";

// By what an environment is frozen, in a sentence without its full stop.
export function frozenWords(f: Frozen, now: Date = new Date()): string {
  const since = dateOf(f.since);
  const until = dateOf(f.until);
  const who = f.window
    ? `Frozen by the window “${f.window}”`
    : `${f.everywhere ? "Everything is frozen" : "Frozen"} by ${f.actor || "somebody unnamed"}`;
  const from = since ? ` since ${until ? moment(since, now) : zoned(since, now)}` : "";
  return `${who}${from}${until ? `, until ${zoned(until, now)}` : ""}${f.reason ? `: ${f.reason}` : ""}`;
}

// What a frozen environment lets through all the same. The server's rule is in controlplane/frozen.go.
export function stillWorks(by: Frozen[]): string {
  const all = [
    "to turn flags off, and operational ones on",
    "to pause and abort rollouts",
    "to restore the environment to an earlier time",
    ...(by.some(bySomebody) ? [] : ["to change its settings"]),
    "to propose changes",
  ];
  return `Still possible: ${all.join("; ")}.`;
}

// Which freezes refuse a change. Of flags, segments and rollouts: all of them.
export const byAnybody = () => true;
// Of settings: those of people, or a window could never be mended while it lasts.
export const bySomebody = (f: Frozen) => !f.window;
// Of an environment that is not there yet: those of all environments.
export const byEverything = (f: Frozen) => f.everywhere;
// Of what makes it safer.
export const byNothing = () => false;
