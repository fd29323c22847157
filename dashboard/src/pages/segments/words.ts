import type { Segment } from "../../gen/tidegate/flag/v1/flag_pb";
import { clausesWords } from "../../lib/explain-flag";
import { plural } from "../../lib/numbers";
import { code, type Words } from "../../lib/words";

// How a segment is made up: "1,200 keys, 2 rules, 5 left out".
export function segmentSize(s: { included: number; excluded: number; rules: number }): string {
  const parts = [
    s.included > 0 && plural(s.included, "key"),
    s.rules > 0 && plural(s.rules, "rule"),
    s.excluded > 0 && `${s.excluded.toLocaleString("en")} left out`,
  ].filter(Boolean);
  return parts.length > 0 ? parts.join(", ") : "nobody yet";
}

// Who belongs to a segment, in a sentence.
export function explainSegment(s: Segment): Words {
  const attribute = s.keyAttribute || "targetingKey";
  const parts: Words[] = [];
  if (s.included.length > 0) parts.push([`${plural(s.included.length, "user")} in its list, by `, code(attribute)]);
  s.rules.slice(0, 3).forEach((r) => {
    parts.push(clausesWords(r.clauses));
  });
  if (s.rules.length > 3) parts.push([`those of ${plural(s.rules.length - 3, "more rule")}`]);
  if (parts.length === 0) return ["Nobody yet: it has no keys, and no rules."];
  const all: Words = parts.flatMap((p, i) => (i === 0 ? p : ["; and ", ...p]));
  if (s.excluded.length > 0 && s.rules.length > 0)
    all.push(`; of the latter not the ${s.excluded.length.toLocaleString("en")} that are left out`);
  const [first, ...rest] = all;
  return [typeof first === "string" ? first.charAt(0).toUpperCase() + first.slice(1) : (first ?? ""), ...rest, "."];
}

// Keys as people paste them: one a line, or with commas, tabs or semicolons between; in quotes or not.
export function readKeys(text: string): string[] {
  const all = text
    .split(/[\n\r,;\t]+/)
    .map((k) => k.trim().replace(/^(["'])(.*)\1$/, "$2"))
    .filter(Boolean);
  return [...new Set(all)];
}
