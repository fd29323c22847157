// The first few that have in them what was typed: more than that nobody looks through, and each
// is an element that a browser has to keep.
export function suggest(all: readonly string[], typed: string, most = 50): string[] {
  const text = typed.trim().toLowerCase();
  const found: string[] = [];
  for (const one of all) {
    if (found.length === most) break;
    if (one.toLowerCase().includes(text)) found.push(one);
  }
  return found;
}
