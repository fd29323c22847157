import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useSearch } from "wouter";
import { rollouts } from "../../api/transport";
import { useEnvironment } from "../../api/use-environment";
import { useLive } from "../../api/use-live";
import { Loading } from "../../components/basics";
import { ProblemNote } from "../../components/problem";
import { Strategy } from "../../gen/tidegate/rollout/v1/rollout_pb";
import { fromRollout, nextKey, noStart } from "../../lib/start";
import { StartForm } from "./start-form";

// What the form begins with: nothing, a flag, or a rollout that is to be started again.
export default function NewRollout() {
  const environment = useEnvironment();
  const search = useSearch();
  const asked = useMemo(() => new URLSearchParams(search), [search]);
  const flag = asked.get("flag") ?? "";
  const like = asked.get("like") ?? "";
  const ready = useLive((l) => l.ready);
  const existing = useLive((l) => l.rollouts);
  const flags = useLive((l) => l.flags);
  const model = useQuery({
    queryKey: ["rollout", environment, like, "model"],
    queryFn: async () => (await rollouts.getRollout({ environment, key: like })).rollout?.rollout,
    enabled: like !== "",
    staleTime: Number.POSITIVE_INFINITY,
  });
  if (model.error)
    return (
      <div className="page">
        <ProblemNote failure={model.error} again={() => void model.refetch()} />
      </div>
    );
  if (!ready || (like !== "" && !model.data))
    return (
      <div className="page">
        <Loading rows={8} />
      </div>
    );
  const key = flag && nextKey(flag, (k) => existing.has(k));
  const known = flags.get(flag);
  const experiment = asked.get("strategy") === "experiment";
  const first = model.data
    ? fromRollout(model.data, key || nextKey(model.data.flagKey, (k) => existing.has(k)))
    : {
        ...noStart,
        key,
        flag,
        owner: known?.owner ?? "",
        strategy: experiment ? Strategy.EXPERIMENT : Strategy.CANARY,
        treatment: known?.variants.find((v) => v !== known.defaultVariant && v !== known.offVariant) ?? "",
      };
  const where = `tidegate-draft/${environment}/rollouts/~new?${asked}`;
  return <StartForm key={where} where={where} first={first} />;
}
