import { createContext, useContext, useRef, useSyncExternalStore } from "react";
import type { Live, LiveStore } from "./live";

export const LiveContext = createContext<LiveStore | undefined>(undefined);

export function useLiveStore(): LiveStore {
  const store = useContext(LiveContext);
  if (!store) throw new Error("useLiveStore is for what is inside of LiveContext");
  return store;
}

// What `select` sees of the live state; who uses it is told when that is another object.
export function useLive<T>(select: (live: Live) => T): T {
  const store = useLiveStore();
  const last = useRef<{ live: Live; seen: T } | undefined>(undefined);
  const latest = useRef(select);
  latest.current = select;
  return useSyncExternalStore(store.subscribe, () => {
    const live = store.read();
    const seen = latest.current(live);
    if (last.current && Object.is(last.current.seen, seen)) return last.current.seen;
    last.current = { live, seen };
    return seen;
  });
}
