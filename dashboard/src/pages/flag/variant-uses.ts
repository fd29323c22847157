import type { Flag, Outcome } from "../../gen/tidegate/flag/v1/flag_pb";

function serves(o: Outcome | undefined, name: string): boolean {
  if (o?.kind.case === "variant") return o.kind.value === name;
  return o?.kind.case === "split" && o.kind.value.variants.some((v) => v.variant === name);
}

// Where a flag serves one of its variants, in words.
export function usesOfVariant(flag: Flag, name: string): string[] {
  const uses = flag.rules.filter((r) => serves(r.outcome, name)).map((r) => `the rule ${r.id}`);
  if (serves(flag.defaultOutcome, name)) uses.push(flag.rules.length > 0 ? "to everyone else" : "to everyone");
  if (flag.offVariant === name) uses.push("while it is off");
  return uses;
}

// A name that a variant can have, or why it cannot.
export function readName(flag: Flag, index: number, name: string): { value: string } | { problem: string } {
  if (name === "") return { problem: "A variant needs a name." };
  if (flag.variants.some((v, i) => i !== index && v.name === name))
    return { problem: `Another variant is called ${name}.` };
  return { value: name };
}

// Gives a variant another name, wherever the flag names it. A name that it cannot have changes
// nothing: what is served could not be told from what serves the other variant.
export function renameVariant(flag: Flag, index: number, name: string) {
  const variant = flag.variants[index];
  if (!variant || "problem" in readName(flag, index, name)) return;
  const before = variant.name;
  variant.name = name;
  if (flag.variants.some((v) => v.name === before)) return;
  const rename = (o: Outcome | undefined) => {
    if (o?.kind.case === "variant" && o.kind.value === before) o.kind.value = name;
    if (o?.kind.case === "split") for (const v of o.kind.value.variants) if (v.variant === before) v.variant = name;
  };
  for (const r of flag.rules) rename(r.outcome);
  rename(flag.defaultOutcome);
  if (flag.offVariant === before && before !== "") flag.offVariant = name;
}
