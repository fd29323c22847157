import { queryOptions, useQuery } from "@tanstack/react-query";
import { createContext, useContext } from "react";
import { environments } from "./transport";

// The environment that is looked at: the first part of every address.
export const EnvironmentContext = createContext("");

export function useEnvironment(): string {
  return useContext(EnvironmentContext);
}

export const environmentNames = queryOptions({
  queryKey: ["environments"],
  queryFn: async () => (await environments.listEnvironments({})).environments.map((e) => e.name),
});

export function useEnvironments() {
  return useQuery({ ...environmentNames, refetchInterval: 30_000 });
}

export const settingsOf = (environment: string) =>
  queryOptions({
    queryKey: ["settings", environment],
    queryFn: () => environments.getEnvironment({ environment }),
  });

// What holds for the environment as a whole.
export function useSettings(environment: string) {
  return useQuery({ ...settingsOf(environment), refetchInterval: 30_000 });
}
