import { useEffect, useState } from "react";
import type { Start } from "../../lib/start";

// What is being written, which survives a reload of the tab, and leaving the page.
export function useStartDraft(where: string, begun: Start) {
  // What a page begins with changes with what is taken meanwhile; what was begun does not.
  const [first] = useState(begun);
  const [start, setStart] = useState(() => kept(where, first));
  const dirty = JSON.stringify(start) !== JSON.stringify(first);
  useEffect(() => {
    if (dirty) sessionStorage.setItem(where, JSON.stringify(start));
    else sessionStorage.removeItem(where);
  }, [where, start, dirty]);
  return {
    start,
    dirty,
    set: (change: Partial<Start>) => setStart((now) => ({ ...now, ...change })),
    discard: () => {
      sessionStorage.removeItem(where);
      setStart(first);
    },
  };
}

// Of an older page some fields may be missing: those are as they begin.
function kept(where: string, first: Start): Start {
  try {
    return { ...first, ...JSON.parse(sessionStorage.getItem(where) ?? "{}") };
  } catch {
    return first;
  }
}
