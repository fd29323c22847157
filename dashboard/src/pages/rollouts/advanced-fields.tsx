import { type ReactNode, useState } from "react";
import { useLive } from "../../api/use-live";
import { Field, Input, Select } from "../../components/basics";
import { Denominator, type Rollout, Statistic, Strategy } from "../../gen/tidegate/rollout/v1/rollout_pb";
import { durationText, percentText, problemAt, type Start } from "../../lib/start";

type Props = {
  start: Start;
  set: (change: Partial<Start>) => void;
  problems: ReadonlyMap<string, string>;
  // As the server would start it: what is left empty has its defaults.
  checked: Rollout | undefined;
};

const own = /^(control|holdback|bake|false_rollback_budget|edge_breaker|success\.(denominator|alpha|relevant|give))/;

// What has a sane default for nearly everybody. It opens itself where something in it is wrong, and
// stays open as that is mended.
export function Advanced({ start, set, problems, checked }: Props) {
  const [open, setOpen] = useState(false);
  if (!open && [...problems.keys()].some((path) => own.test(path))) setOpen(true);
  return (
    <details className="card more-fields" open={open} onToggle={(e) => setOpen(e.currentTarget.open)}>
      <summary>Advanced: how it ends, how sure it must be, and what relays do alone</summary>
      <div className="body stack">
        <p className="small soft">What is left empty is as the strategy has it.</p>
        <End start={start} set={set} problems={problems} checked={checked} />
        <Certainty start={start} set={set} problems={problems} checked={checked} />
        <Edge start={start} set={set} problems={problems} checked={checked} />
      </div>
    </details>
  );
}

function Text(props: {
  label: string;
  hint: ReactNode;
  value: string;
  set: (text: string) => void;
  placeholder?: string;
  problem?: string;
}) {
  return (
    <Field label={props.label} hint={props.hint} problem={props.problem}>
      {(ids) => (
        <Input
          {...ids}
          spellCheck={false}
          autoComplete="off"
          value={props.value}
          placeholder={props.placeholder}
          onChange={(e) => props.set(e.target.value)}
        />
      )}
    </Field>
  );
}

function End({ start, set, problems, checked }: Props) {
  const flag = useLive((l) => l.flags.get(start.flag));
  return (
    <div className="pair">
      <Text
        label="Watch the last stage for"
        hint="The bake time: how long it must stay good at its widest before it counts as done."
        placeholder={durationText(checked?.bake)}
        value={start.bake}
        set={(bake) => set({ bake })}
        problem={problemAt(problems, "bake")}
      />
      <Text
        label="Holdback, in per cent"
        hint="Who keeps the old variant while the last stage is watched: at 100% there is nothing to compare with. At most 20."
        placeholder={checked?.holdback === undefined ? undefined : String(checked.holdback / 100)}
        value={start.holdback}
        set={(holdback) => set({ holdback })}
        problem={problemAt(problems, "holdback")}
      />
      <Field
        label="Variant that is served now"
        hint="What it is compared with, and goes back to."
        problem={problemAt(problems, "control")}
      >
        {(ids) => (
          <Select {...ids} value={start.control} onChange={(e) => set({ control: e.target.value })}>
            <option value="">
              {checked?.control ? `As the flag has it: ${checked.control}` : "As the flag has it"}
            </option>
            {(flag?.variants ?? []).map((v) => (
              <option key={v}>{v}</option>
            ))}
          </Select>
        )}
      </Field>
    </div>
  );
}

function Certainty({ start, set, problems, checked }: Props) {
  const success = start.metric.trim() !== "";
  return (
    <div className="pair">
      <Text
        label="Error budget, in per cent"
        hint="How probable it may be that a good rollout is shut, over its whole life. Less is slower to shut a bad one. At most 20."
        placeholder={checked ? percentText(checked.falseRollbackBudget) : undefined}
        value={start.budget}
        set={(budget) => set({ budget })}
        problem={problemAt(problems, "false_rollback_budget")}
      />
      {success && (
        <>
          <Text
            label="Error of the verdict, in per cent"
            hint="How probable it may be that a winner is called where there is none."
            placeholder={checked?.success ? percentText(checked.success.alpha) : undefined}
            value={start.alpha}
            set={(alpha) => set({ alpha })}
            problem={problemAt(problems, "success.alpha")}
          />
          <Text
            label="Difference that matters, in per cent"
            hint="Of the control’s value: what the verdict is tuned to find."
            placeholder={checked?.success ? percentText(checked.success.relevantDifference) : undefined}
            value={start.relevant}
            set={(relevant) => set({ relevant })}
            problem={problemAt(problems, "success.relevant_difference")}
          />
        </>
      )}
      {success && start.statistic === Statistic.RATE && (
        <Field
          label="Share of"
          hint="Of what the success metric is a share."
          problem={problemAt(problems, "success.denominator")}
        >
          {(ids) => (
            <Select {...ids} value={start.denominator} onChange={(e) => set({ denominator: Number(e.target.value) })}>
              <option value={Denominator.EXPOSURES}>those whom the variant was served</option>
              <option value={Denominator.OBSERVATIONS}>what your code tells of, happened or not</option>
            </Select>
          )}
        </Field>
      )}
      {start.strategy === Strategy.EXPERIMENT && (
        <Text
          label="Give up after"
          hint="An experiment that is undecided then ends, and the old variant stays. Such as 14d; empty: it runs on."
          value={start.giveUpAfter}
          set={(giveUpAfter) => set({ giveUpAfter })}
          problem={problemAt(problems, "success.give_up_after")}
        />
      )}
    </div>
  );
}

function Edge({ start, set, problems, checked }: Props) {
  return (
    <div className="stack tight">
      <label className="check">
        <input type="checkbox" checked={start.edgeBreaker} onChange={(e) => set({ edgeBreaker: e.target.checked })} />A
        relay that is cut off shuts the rollout by itself, if what it counts says so
      </label>
      {start.edgeBreaker ? (
        <Text
          label="Cut off for"
          hint="How long it must not have heard from above before it judges alone. 6s to 1h."
          placeholder={durationText(checked?.edgeBreaker?.after)}
          value={start.edgeAfter}
          set={(edgeAfter) => set({ edgeAfter })}
          problem={problemAt(problems, "edge_breaker.after")}
        />
      ) : (
        <p className="small soft">
          It goes on serving the share that it heard of last until it is connected again, also where that is harmful.
        </p>
      )}
    </div>
  );
}
