import type { ReactNode } from "react";
import { Link } from "wouter";
import { useLive } from "../../api/use-live";
import { Badge, CopyButton } from "../../components/basics";
import { PageHead } from "../../components/page";
import { Words } from "../../components/words";
import { type Rollout, State } from "../../gen/tidegate/rollout/v1/rollout_pb";
import { figures } from "../../lib/figures";
import { count } from "../../lib/numbers";
import { isOver, stateTones, stateWords, strategyWords } from "../../lib/rollout-words";
import { shareWords } from "../../lib/served-words";
import type { Seen } from "./use-rollout";

// What somebody wants to know first: how far it is, how it goes, what it waits for.
export function RolloutHead(props: {
  environment: string;
  rollout: Rollout;
  seen: Seen;
  list: "rollouts" | "experiments";
  actions: ReactNode;
}) {
  const { environment, rollout, seen, list } = props;
  const status = seen.summary?.status ?? rollout.status;
  const state = status?.state ?? State.UNSPECIFIED;
  const over = isOver(status);
  const flag = useLive((l) => l.flags.get(rollout.flagKey));
  const served = shareWords(rollout, status, flag);
  const off = !over && flag?.enabled === false;
  const traffic = seen.assessment?.traffic;
  return (
    <>
      <PageHead
        tab={`${rollout.key} · ${environment}`}
        above={
          <div className="small">
            <Link href={`/${environment}/${list}`}>{list === "rollouts" ? "Rollouts" : "Experiments"}</Link>
          </div>
        }
        title={<span className="key">{rollout.key}</span>}
        beside={
          <>
            <CopyButton text={rollout.key} label="Copy the key" />
            <Badge tone={stateTones[state]}>{stateWords[state]}</Badge>
          </>
        }
        actions={props.actions}
      >
        {rollout.description && <span>{rollout.description} · </span>}
        <span>
          {strategyWords[rollout.strategy]}
          {rollout.owner && ` · owned by ${rollout.owner}`}
          {rollout.rule && (
            <>
              {" "}
              · of the rule <code>{rollout.rule}</code>
            </>
          )}
        </span>
      </PageHead>
      <section className="card share-now" aria-label={over ? "Share when it ended" : "Share served now"}>
        <div className="body">
          <div className="row spread">
            <div>
              <span className="big num">{served.big}</span>
              <span className="soft">
                <Words words={served.words} />
              </span>
            </div>
            {!over && !off && traffic !== undefined && (
              <span className="small soft num">
                {traffic < 10 ? traffic.toFixed(1) : count(Math.round(traffic))} exposures a second
              </span>
            )}
          </div>
          <StageBar
            weight={off ? 0 : (status?.weight ?? 0)}
            stages={rollout.stages.map((s) => s.weight)}
            tone={state === State.ROLLED_BACK ? "bad" : state === State.COMPLETED ? "good" : ""}
          />
          {!over && (
            <p className="headline" aria-live="polite">
              {figures(seen.assessment?.headline || status?.headline || "It has begun; nothing was counted yet.")}
            </p>
          )}
        </div>
      </section>
    </>
  );
}

// The share that is served now, and where the stages are.
export function StageBar({ weight, stages, tone = "" }: { weight: number; stages: number[]; tone?: string }) {
  const at = (w: number) => `${w / 100}%`;
  return (
    <span className={`stage-bar ${tone}`} aria-hidden>
      <span className={weight > 0 ? "some" : ""} style={{ width: at(weight) }} />
      {stages
        .filter((s) => s > 0 && s < 10_000)
        .map((s) => (
          <i key={s} style={{ left: at(s) }} className={s <= weight ? "passed" : ""} />
        ))}
    </span>
  );
}
