import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { flags as flagService } from "../../api/transport";
import { useLive } from "../../api/use-live";
import type { HygieneQuery } from "./query";

const duration = (s: number) => (s > 0 ? { seconds: BigInt(s), nanos: 0 } : undefined);

// How long flags must have been left alone, in ms: the server looks at all of them.
const quiet = 1000;

// What is stale. It is asked for again when flags have changed, and as time passes.
export function useStale(environment: string, query: HygieneQuery) {
  const flags = useLive((l) => l.flags);
  const stale = useQuery({
    queryKey: ["stale", environment, query.unusedFor, query.constantFor],
    queryFn: () =>
      flagService.listStaleFlags({
        environment,
        unusedFor: duration(query.unusedFor),
        constantFor: duration(query.constantFor),
      }),
    placeholderData: keepPreviousData,
    refetchInterval: 60_000,
  });
  const { refetch } = stale;
  const lookedAt = useRef(flags);
  useEffect(() => {
    if (flags === lookedAt.current) return;
    const timer = setTimeout(() => {
      lookedAt.current = flags;
      void refetch();
    }, quiet);
    return () => clearTimeout(timer);
  }, [flags, refetch]);
  return stale;
}
