import "../../styles/editor.css";
import "./rollouts.css";
import "./rollout.css";
import { Activity } from "lucide-react";
import { useMemo } from "react";
import { Link, useParams } from "wouter";
import { useSession } from "../../api/session";
import { useEnvironment, useSettings } from "../../api/use-environment";
import { Card, Empty, Loading } from "../../components/basics";
import { ProblemNote } from "../../components/problem";
import { Role } from "../../gen/tidegate/access/v1/identity_pb";
import type { Rollout } from "../../gen/tidegate/rollout/v1/rollout_pb";
import { figures } from "../../lib/figures";
import { isExperiment, isOver, share } from "../../lib/rollout-words";
import { stepMarkers } from "../../lib/series";
import { dateOf } from "../../lib/time";
import { SuccessCard } from "../experiments/success-card";
import { Decisions } from "./decisions";
import { Ended } from "./ended";
import { FlagCard } from "./flag-card";
import { GuardrailCard } from "./guardrail-card";
import { RolloutHistory } from "./history";
import { RolloutHead } from "./rollout-head";
import { StageLadder } from "./stage-ladder";
import { Steering } from "./steering";
import { type Seen, useDecisions, useRollout } from "./use-rollout";
import { SampleRatioCard, Waits } from "./waits";

export default function RolloutPage() {
  return <RolloutView list="rollouts" />;
}

// One rollout, or, where it has a success metric, one experiment.
export function RolloutView({ list }: { list: "rollouts" | "experiments" }) {
  const environment = useEnvironment();
  const params = useParams<{ key: string }>();
  const key = decodeURIComponent(params.key);
  const seen = useRollout(environment, key);

  if (seen.ready && !seen.summary)
    return (
      <div className="page">
        <Empty icon={Activity} title={`There is no rollout “${key}” in ${environment}`}>
          <p>It may have been deleted, or you may not see it.</p>
          <Link className="button" href={`/${environment}/${list}`}>
            All {list}
          </Link>
        </Empty>
      </div>
    );
  if (!seen.rollout)
    return (
      <div className="page">
        {seen.failure ? (
          <ProblemNote failure={seen.failure} again={seen.again} />
        ) : (
          <Loading rows={10} label="Loading the rollout" />
        )}
      </div>
    );
  return <Shown environment={environment} rollout={seen.rollout} seen={seen} list={list} />;
}

function Shown(props: { environment: string; rollout: Rollout; seen: Seen; list: "rollouts" | "experiments" }) {
  const { environment, rollout, seen, list } = props;
  const session = useSession();
  const settings = useSettings(environment).data?.settings;
  const role = settings?.protected ? Role.OPERATOR : Role.EDITOR;
  const status = seen.summary?.status ?? rollout.status;
  const over = isOver(status);
  const decisions = useDecisions(environment, rollout.key, status?.decision ?? 0n);
  const steps = useMemo(() => stepMarkers(seen.series, share), [seen.series]);
  const marks = useMemo(
    () =>
      (decisions.data ?? []).map((d) => ({
        time: (dateOf(d.time)?.getTime() ?? 0) / 1000,
        label: figures(d.headline),
      })),
    [decisions.data],
  );
  // The rollout with what is newest of it.
  const current = useMemo(
    () => ({ ...rollout, status: status && { ...status, steps: rollout.status?.steps ?? [] } }) as Rollout,
    [rollout, status],
  );
  const experiment = isExperiment({ strategy: rollout.strategy, successMetric: rollout.success?.metric ?? "" });
  return (
    <div className="page rollout-page">
      <RolloutHead
        environment={environment}
        rollout={rollout}
        seen={seen}
        list={list}
        actions={<Steering environment={environment} seen={seen} may={session.may(role, environment, rollout.key)} />}
      />
      {over && <Ended environment={environment} seen={seen} rollout={rollout} />}
      <div className="rollout-columns">
        <div className="stack main">
          {experiment && <SuccessCard rollout={rollout} seen={seen} steps={steps} over={over} />}
          {rollout.guardrails.map((g, i) => (
            <GuardrailCard
              key={g.name}
              guardrail={g}
              index={i}
              assessment={seen.assessment?.guardrails.find((a) => a.name === g.name)}
              series={seen.series}
              steps={steps}
              decisions={marks}
              unit={rollout.unit}
              over={over}
            />
          ))}
          {rollout.guardrails.length === 0 && (
            <Card title="Guardrails">
              <p className="small soft">None: people alone move this rollout.</p>
            </Card>
          )}
          <Decisions environment={environment} rolloutKey={rollout.key} decisions={decisions.data} over={over} />
          <RolloutHistory environment={environment} rolloutKey={rollout.key} revision={seen.revision} />
        </div>
        <div className="stack side">
          {!over && <Waits assessment={seen.assessment} />}
          <StageLadder rollout={current} />
          <FlagCard
            environment={environment}
            flagKey={rollout.flagKey}
            may={session.may(role, environment, rollout.flagKey)}
          />
          <SampleRatioCard assessment={seen.assessment} over={over} />
        </div>
      </div>
    </div>
  );
}
