import { Plus, Trash2 } from "lucide-react";
import { Button, IconButton, Input } from "../../components/basics";
import type { Rollout } from "../../gen/tidegate/rollout/v1/rollout_pb";
import { share } from "../../lib/rollout-words";
import { leastSeconds } from "../../lib/stages";
import { problemAt, type StageText, stageTexts } from "../../lib/start";
import { secondsOf, span } from "../../lib/time";
import { StageBar } from "./rollout-head";

// The stages: those of the strategy, or, once somebody wants others, as they are written.
export function StagesEditor(props: {
  stages: StageText[];
  // As the server would start it.
  checked: Rollout | undefined;
  // Evaluations a second of late.
  traffic: number | undefined;
  problems: ReadonlyMap<string, string>;
  onChange: (stages: StageText[]) => void;
}) {
  const { stages, checked, traffic, problems, onChange } = props;
  if (stages.length === 0)
    return (
      <div className="stack">
        {checked ? (
          <>
            <ol className="start-stages small plain">
              {checked.stages.map((s) => (
                <li key={s.weight}>
                  <strong className="num">{share(s.weight)}</strong>
                  <StageBar weight={s.weight} stages={[]} />
                  <span className="soft">
                    at least {span(secondsOf(s.minDwell) ?? 60)}
                    {s.manual && ", until a person promotes"}
                    {traffic
                      ? ` · about ${(traffic * s.weight) / 10_000 < 10 ? ((traffic * s.weight) / 10_000).toFixed(1) : Math.round((traffic * s.weight) / 10_000)} evaluations a second`
                      : ""}
                  </span>
                </li>
              ))}
            </ol>
            <p className="small soft">
              At least {span(leastSeconds(checked))} in all. A stage takes longer where its guardrails are not proven
              safe yet: the fewer subjects, the longer.
            </p>
          </>
        ) : (
          <p className="small soft">The stages are shown when the flag and the variant are chosen.</p>
        )}
        <div>
          <Button small disabled={!checked} onClick={() => checked && onChange(stageTexts(checked.stages))}>
            Change the stages
          </Button>
        </div>
      </div>
    );
  const put = (i: number, change: Partial<StageText>) =>
    onChange(stages.map((s, at) => (at === i ? { ...s, ...change } : s)));
  return (
    <div className="stack">
      <ol className="start-stages plain">
        {stages.map((s, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a place in a list that is written
          <li key={i}>
            <Input
              aria-label={`Stage ${i + 1}: share in per cent`}
              size={5}
              inputMode="decimal"
              value={s.percent}
              onChange={(e) => put(i, { percent: e.target.value })}
            />
            <span className="small">% for at least</span>
            <Input
              aria-label={`Stage ${i + 1}: time`}
              size={6}
              placeholder="1m"
              value={s.dwell}
              onChange={(e) => put(i, { dwell: e.target.value })}
            />
            <label className="check small">
              <input type="checkbox" checked={s.manual} onChange={(e) => put(i, { manual: e.target.checked })} /> a
              person promotes
            </label>
            <IconButton
              icon={Trash2}
              small
              label={`Remove stage ${i + 1}`}
              onClick={() => onChange(stages.filter((_, at) => at !== i))}
            />
            {problemAt(problems, `stages[${i}]`) && (
              <span className="problem small">{problemAt(problems, `stages[${i}]`)}</span>
            )}
          </li>
        ))}
      </ol>
      {checked && <p className="small soft">At least {span(leastSeconds(checked))} in all.</p>}
      <div className="row tight">
        <Button small onClick={() => onChange([...stages, { percent: "100", dwell: "1m", manual: false }])}>
          <Plus size={14} aria-hidden /> Stage
        </Button>
        <Button small kind="quiet" onClick={() => onChange([])}>
          Those of the strategy
        </Button>
      </div>
    </div>
  );
}
