import { toJsonString } from "@bufbuild/protobuf";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useDeferredValue, useMemo } from "react";
import { type Problem, problemOf } from "../../api/errors";
import { rollouts } from "../../api/transport";
import type { FieldChange } from "../../gen/tidegate/control/v1/audit_pb";
import { type Rollout, RolloutSchema } from "../../gen/tidegate/rollout/v1/rollout_pb";
import { type Start, toRollout } from "../../lib/start";

type Answer = { rollout?: Rollout; changes: FieldChange[]; problem?: Problem };

// What the server says of what is to be started: what it would be, or what is wrong.
export function useStartCheck(environment: string, start: Start) {
  const asked = useDeferredValue(start);
  const { rollout, problems } = useMemo(() => toRollout(asked), [asked]);
  const complete = asked.key !== "" && asked.flag !== "" && asked.treatment !== "";
  const text = useMemo(() => toJsonString(RolloutSchema, rollout), [rollout]);
  const enabled = complete && problems.size === 0;
  const query = useQuery({
    queryKey: ["start-check", environment, text],
    queryFn: async ({ signal }): Promise<Answer> => {
      try {
        const r = await rollouts.startRollout({ environment, rollout, validateOnly: true }, { signal });
        return { rollout: r.rollout?.rollout, changes: r.flagChanges };
      } catch (failure) {
        if (signal.aborted) throw failure;
        return { changes: [], problem: problemOf(failure) };
      }
    },
    enabled,
    staleTime: 0,
    gcTime: 10_000,
    placeholderData: keepPreviousData,
  });
  const answer = query.data;
  const all = useMemo(() => {
    const found = new Map(problems);
    for (const v of answer?.problem?.violations ?? []) found.set(v.field.replace(/^rollout\./, ""), v.problem);
    return found;
  }, [problems, answer]);
  return {
    request: rollout,
    problems: all,
    problem: enabled ? answer?.problem : undefined,
    // As the server would write it.
    rollout: answer?.rollout,
    changes: answer?.changes ?? [],
    ready:
      enabled &&
      asked === start &&
      !query.isPlaceholderData &&
      !query.isFetching &&
      !!answer?.rollout &&
      !answer.problem,
  };
}
