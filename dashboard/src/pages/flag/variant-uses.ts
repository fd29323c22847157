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

// Gives a variant another name, wherever the flag names it. Where another has the name already,
// what is served keeps its meaning: the names of outcomes stay.
export function renameVariant(flag: Flag, index: number, name: string) {
  const variant = flag.variants[index];
  if (!variant) return;
  const before = variant.name;
  variant.name = name;
  if (flag.variants.filter((v) => v.name === name || v.name === before).length > 1) return;
  const rename = (o: Outcome | undefined) => {
    if (o?.kind.case === "variant" && o.kind.value === before) o.kind.value = name;
    if (o?.kind.case === "split") for (const v of o.kind.value.variants) if (v.variant === before) v.variant = name;
  };
  for (const r of flag.rules) rename(r.outcome);
  rename(flag.defaultOutcome);
  if (flag.offVariant === before && before !== "") flag.offVariant = name;
}
