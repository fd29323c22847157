import { Check, Circle, CircleDot, CircleX } from "lucide-react";
import { Ago, Card } from "../../components/basics";
import type { Rollout } from "../../gen/tidegate/rollout/v1/rollout_pb";
import { share } from "../../lib/rollout-words";
import { type StageView, stageLadder } from "../../lib/stages";
import { span } from "../../lib/time";

const icons = { done: Check, now: CircleDot, later: Circle, never: Circle, shut: CircleX };
const words = { done: "done", now: "now", later: "to come", never: "not reached", shut: "shut" };

// The stages, which of them are done and when, and what each needs.
export function StageLadder({ rollout }: { rollout: Rollout }) {
  return (
    <Card title="Stages">
      <ol className="ladder">
        {stageLadder(rollout).map((s) => {
          const Icon = icons[s.standing];
          return (
            <li key={s.index} className={s.standing} aria-current={s.standing === "now" ? "step" : undefined}>
              <Icon size={16} aria-hidden />
              <div>
                <div className="row tight spread">
                  <strong className="num">{share(s.weight)}</strong>
                  <span className="small soft">
                    <Standing s={s} />
                  </span>
                </div>
                {s.standing !== "done" && s.standing !== "shut" && (
                  <div className="small soft">{s.needs.join(" · ")}</div>
                )}
              </div>
            </li>
          );
        })}
      </ol>
      {!!rollout.holdback && (
        <p className="small soft">
          {share(rollout.holdback)} keep “{rollout.control}” while the last stage is watched, to compare with.
        </p>
      )}
    </Card>
  );
}

function Standing({ s }: { s: StageView }) {
  if (s.began && s.left)
    return (
      <>{`${words[s.standing]} ${s.standing === "shut" ? "after" : "in"} ${span((s.left.getTime() - s.began.getTime()) / 1000)}`}</>
    );
  if (s.standing === "now" && s.began)
    return (
      <>
        since <Ago at={s.began} />
      </>
    );
  return <>{words[s.standing]}</>;
}
