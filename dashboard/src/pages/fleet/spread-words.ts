import { plural } from "../../lib/numbers";
import { span } from "../../lib/time";
import { type Arrival, middleAndMost } from "./propagation";

// What is said of when relays had a change: of those that were measured, and who is missing.

const took = (ms: number) => span(ms / 1000);

const timesOf = (spread: Arrival[]) => spread.map((a) => a.after).filter((a) => typeof a === "number");

// Who has not got it; empty: nobody is missing.
function missing(spread: Arrival[]): string {
  const names = spread.filter((a) => a.after === undefined).map((a) => a.relay.instanceId);
  if (names.length <= 2) return names.join(" and ");
  return `${names.slice(0, 2).join(", ")} and ${names.length - 2} more`;
}

// Of the newest change. Nothing, where nothing was measured.
export function measuredWords(spread: Arrival[]): string | undefined {
  const times = timesOf(spread);
  const measured = middleAndMost(times);
  if (!measured) return undefined;
  const [all, some] = [spread.length, times.length];
  const late = missing(spread);
  const rest = late ? ` Not yet: ${late}.` : "";
  if (all === 1) return `It was applied ${took(measured.most)} after the commit.`;
  if (some === 1)
    return `Of ${plural(all, "relay")} 1 was measured: it had applied it ${took(measured.most)} after the commit.${rest}`;
  if (some === all)
    return `Half of the relays had applied it ${took(measured.middle)} after the commit, the last one of ${all} after ${took(measured.most)}.`;
  return `Of the ${some} of ${plural(all, "relay")} that were measured, half had applied it ${took(measured.middle)} after the commit, the last one after ${took(measured.most)}.${rest}`;
}

// Of the newest change where no relay was measured: who had it before that, and who has not.
export function unmeasuredWords(spread: Arrival[]): string {
  const lack = spread.filter((a) => a.after === undefined).length;
  if (lack === 0) return "The relays had this change before that: make another one to see it travel.";
  const lacking = `${plural(lack, "relay")} ${lack === 1 ? "does" : "do"} not have it yet.`;
  const had = spread.length - lack;
  return had === 0 ? lacking : `${plural(had, "relay")} had this change before that. ${lacking}`;
}

// Of an older change, in a few words.
export function olderWords(spread: Arrival[]): string | undefined {
  const times = timesOf(spread);
  const measured = middleAndMost(times);
  if (!measured) return undefined;
  const after = `after ${took(measured.most)}`;
  if (times.length === spread.length) return spread.length === 1 ? after : `all ${after}`;
  const late = missing(spread);
  return `${times.length} of ${spread.length} ${after}, ${late ? `not ${late}` : "the others were not measured"}`;
}
