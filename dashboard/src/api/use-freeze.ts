import { useQuery } from "@tanstack/react-query";
import { freezes } from "./transport";

export const freezesKey = ["freezes"];

// How all environments stand: frozen or not, by what, and which window is next. Freezes are in no
// environment's stream, so they are asked for.
export function useFreezes() {
  return useQuery({
    queryKey: freezesKey,
    queryFn: () => freezes.getFreeze({}),
    refetchInterval: 5_000,
  });
}

// How one environment stands; undefined while nobody knows.
export function useFreeze(environment: string) {
  return useFreezes().data?.environments.find((e) => e.environment === environment);
}
