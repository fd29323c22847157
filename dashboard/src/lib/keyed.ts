// Keys of a list whose elements have names that are edited: an element keeps its own while it is
// moved, while it gets another name, and while others come and go.
export type Keyed = { names: string[]; keys: number[]; next: number };

export const nothingKeyed: Keyed = { names: [], keys: [], next: 0 };

// What is new gets the keys from `next` on.
export function keyed(before: Keyed, names: string[]): Keyed {
  if (same(before.names, names)) return before;
  const changed = names.filter((name, i) => name !== before.names[i]).length;
  if (names.length === before.names.length && changed === 1) return { ...before, names };
  const free = before.names.map((name, i) => ({ name, key: before.keys[i] }));
  let { next } = before;
  const keys = names.map((name) => {
    const at = free.findIndex((f) => f.name === name);
    return (at < 0 ? undefined : free.splice(at, 1)[0]?.key) ?? next++;
  });
  return { names, keys, next };
}

const same = (a: string[], b: string[]) => a.length === b.length && a.every((name, i) => name === b[i]);
