import type { ReactNode } from "react";
import { Link } from "wouter";
import { Badge, CopyButton } from "../../components/basics";
import { PageHead } from "../../components/page";
import { type Rollout, State } from "../../gen/tidegate/rollout/v1/rollout_pb";
import { figures } from "../../lib/figures";
import { count } from "../../lib/numbers";
import { isOver, share, stateTones, stateWords, strategyWords } from "../../lib/rollout-words";
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
      <section className="card share-now" aria-label="Share served now">
        <div className="body">
          <div className="row spread">
            <div>
              <span className="big num">{share(status?.weight ?? 0)}</span>{" "}
              <span className="soft">
                {status?.weight === 10_000 ? "everybody gets" : "get"} <code>{rollout.treatment}</code>
                {status?.weight !== 10_000 && status?.weight !== 0 && (
                  <>
                    , the others <code>{rollout.control}</code>
                  </>
                )}
                {status?.weight === 0 && (
                  <>
                    , everybody gets <code>{rollout.control}</code>
                  </>
                )}
              </span>
            </div>
            {!isOver(status) && traffic !== undefined && (
              <span className="small soft num">
                {traffic < 10 ? traffic.toFixed(1) : count(Math.round(traffic))} exposures a second
              </span>
            )}
          </div>
          <StageBar
            weight={status?.weight ?? 0}
            stages={rollout.stages.map((s) => s.weight)}
            tone={state === State.ROLLED_BACK ? "bad" : state === State.COMPLETED ? "good" : ""}
          />
          {!isOver(status) && (
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
