import { useCallback, useEffect, useLayoutEffect, useState, useSyncExternalStore } from "react";
import { fleet } from "../../api/transport";
import { useLive } from "../../api/use-live";
import type { Relay, WaitAppliedResponse } from "../../gen/tidegate/control/v1/fleet_service_pb";
import { observe, type Passings } from "./propagation";

// How long to wait after a stream has ended, or could not be had.
const again = 2000;

function useVisible(): boolean {
  return useSyncExternalStore(
    (told) => {
      document.addEventListener("visibilitychange", told);
      return () => document.removeEventListener("visibilitychange", told);
    },
    () => document.visibilityState === "visible",
  );
}

// Calls `stream` while the page is seen, with a pause in between; true ends it. A browser has few
// connections to a server, for all tabs: those that nobody looks at leave theirs to others.
function useStream(stream: (signal: AbortSignal) => Promise<boolean>) {
  const visible = useVisible();
  useEffect(() => {
    if (!visible) return;
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const run = async () => {
      const done = await stream(stop.signal).catch(() => false);
      if (!done && !stop.signal.aborted) timer = setTimeout(() => void run(), again);
    };
    void run();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [stream, visible]);
}

// What each relay applied while this is shown. The page's stream tells of relays once a second;
// the server that is asked tells of those connected to it at once.
export function usePassings(environment: string): Passings {
  const relays = useLive((l) => l.relays);
  const [seen, setSeen] = useState<{ environment: string; passings: Passings }>({ environment, passings: new Map() });
  const take = useCallback(
    (some: Iterable<Relay>) =>
      setSeen((now) => {
        const before = now.environment === environment ? now.passings : new Map();
        const passings = observe(before, some, environment);
        return passings === now.passings ? now : { environment, passings };
      }),
    [environment],
  );
  // Before it is painted: else a chart of relays that wait would flash where none does.
  useLayoutEffect(() => take([...relays.values()]), [relays, take]);
  const watch = useCallback(
    async (signal: AbortSignal) => {
      for await (const told of fleet.watchRelays({ environment }, { signal })) take(told.relays);
      return false;
    },
    [environment, take],
  );
  useStream(watch);
  return seen.environment === environment ? seen.passings : new Map();
}

// How many relays have a revision, told until all have it.
export function useApplied(environment: string, revision: bigint): WaitAppliedResponse | undefined {
  const [told, setTold] = useState<{ revision: bigint; answer: WaitAppliedResponse }>();
  const wait = useCallback(
    async (signal: AbortSignal) => {
      if (revision === 0n) return true;
      let reached = false;
      const request = { environment, revision, fraction: 1, timeout: { seconds: 300n, nanos: 0 } };
      for await (const answer of fleet.waitApplied(request, { signal })) {
        setTold({ revision, answer });
        reached = answer.reached;
      }
      return reached;
    },
    [environment, revision],
  );
  useStream(wait);
  return told?.revision === revision ? told.answer : undefined;
}
