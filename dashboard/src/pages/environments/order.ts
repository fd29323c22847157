// Which environment comes before which: chains such as dev → staging → production, and what is in
// none of them.
export function chains(all: { name: string; from: string }[]): string[][] {
  const names = new Set(all.map((e) => e.name));
  const next = new Map<string, string[]>();
  for (const e of all) if (e.from && names.has(e.from)) next.set(e.from, [...(next.get(e.from) ?? []), e.name].sort());
  const found: string[][] = [];
  const seen = new Set<string>();
  const walk = (name: string, before: string[]) => {
    const chain = [...before, name];
    seen.add(name);
    const after = (next.get(name) ?? []).filter((n) => !seen.has(n));
    if (after.length === 0 && chain.length > 1) found.push(chain);
    for (const n of after) walk(n, chain);
  };
  for (const e of [...all].sort((a, b) => (a.name < b.name ? -1 : 1)))
    if (!e.from || !names.has(e.from)) walk(e.name, []);
  return found;
}

type Known = { name: string; from: string; guarded: boolean };

// From where to where one probably promotes among some environments: as their settings say, else to
// the one that is guarded, by its protection or by approvals. Empty: it is not known.
export function direction(all: Known[], here: string): { from: string; to: string } {
  const names = all.map((e) => e.name);
  const ordered = all.filter((e) => names.includes(e.from));
  const next = ordered.find((e) => e.name === here) ?? ordered[0];
  if (next) return { from: next.from, to: next.name };
  const guarded = all.filter((e) => e.guarded);
  const to = guarded.length === 1 ? (guarded[0]?.name ?? "") : "";
  const others = names.filter((n) => n !== to);
  return { from: to && others.length === 1 ? (others[0] ?? "") : "", to };
}
