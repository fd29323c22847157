import { Code, ConnectError } from "@connectrpc/connect";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { flags, rollouts } from "../../api/transport";
import { useLive } from "../../api/use-live";
import { Action } from "../../gen/tidegate/control/v1/audit_pb";
import type { FlagSummary } from "../../gen/tidegate/control/v1/watch_service_pb";
import { State, type Status } from "../../gen/tidegate/rollout/v1/rollout_pb";
import { endedByPerson, isOver } from "../../lib/rollout-words";
import { asOf, orderly } from "../../lib/series";

// Everything about one rollout. What changes all the time is live; the whole of it is read again
// when the live state says that it was written.
export function useRollout(environment: string, key: string) {
  const summary = useLive((l) => l.rollouts.get(key));
  const standing = useLive((l) => l.standings.get(key));
  const points = useLive((l) => l.series);
  const ready = useLive((l) => l.ready);
  const revision = summary?.revision ?? 0n;
  const whole = useQuery({
    queryKey: ["rollout", environment, key, revision.toString()],
    queryFn: () => rollouts.getRollout({ environment, key }),
    enabled: ready && summary !== undefined,
    placeholderData: keepPreviousData,
    retry: (n, failure) => n < 3 && ConnectError.from(failure).code !== Code.NotFound,
  });
  const number = (summary?.status ?? whole.data?.rollout?.rollout?.status)?.decision ?? 0n;
  const over = isOver(summary?.status);
  // What decided of one that is over: its newest decision, with the evidence as it was then.
  const last = useQuery({
    queryKey: ["decision", environment, key, number.toString()],
    queryFn: async () => (await rollouts.getDecision({ environment, key, number })).decision,
    enabled: over && number > 0n,
    staleTime: Number.POSITIVE_INFINITY,
  });
  const series = useMemo(() => orderly(points), [points]);
  const full = whole.data?.rollout?.rollout;
  const status = summary?.status;
  const decided = last.data?.assessment ?? whole.data?.assessment;
  const assessment = over
    ? // What a person ended was counted on after the newest decision.
      status && endedByPerson(status) && decided
      ? asOf(decided, series.at(-1))
      : decided
    : (standing?.assessment ?? whole.data?.assessment);
  return {
    ready,
    summary,
    rollout: full?.key === key ? full : undefined,
    revision: whole.data?.rollout?.revision ?? revision,
    assessment,
    // Of one that ended when its status did not keep it yet, as the series has it.
    success: over ? (summary?.status?.success ?? series.at(-1)?.success) : assessment?.success,
    last: last.data,
    series,
    failure: whole.error,
    again: () => void whole.refetch(),
  };
}

export type Seen = ReturnType<typeof useRollout>;

// Who ended a rollout, and why, if a person did. Nothing but its deletion comes after its end.
export function useEnding(environment: string, key: string, status: Status | undefined) {
  const action = status?.state === State.ABORTED ? Action.ABORTED : Action.COMPLETED;
  const { data } = useQuery({
    queryKey: ["rollout-ending", environment, key],
    queryFn: async () => (await rollouts.listRolloutHistory({ environment, key, pageSize: 5 })).entries,
    enabled: status !== undefined && isOver(status) && endedByPerson(status),
  });
  return data?.find((e) => e.action === action);
}

export function useDecisions(environment: string, key: string, newest: bigint) {
  return useQuery({
    queryKey: ["decisions", environment, key, newest.toString()],
    queryFn: async () => (await rollouts.listDecisions({ environment, key, pageSize: 200 })).decisions,
    enabled: newest > 0n,
    placeholderData: keepPreviousData,
  });
}

// A flag with its rules and outcomes, which the live state does not have.
export function useWholeFlag(environment: string, flag: FlagSummary | undefined) {
  const key = flag?.key ?? "";
  return useQuery({
    queryKey: ["flag", environment, key, flag?.revision.toString() ?? "", "rules"],
    queryFn: async () => (await flags.getFlag({ environment, flagKey: key })).flag?.flag,
    enabled: flag !== undefined,
  }).data;
}
