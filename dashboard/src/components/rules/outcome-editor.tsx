import { create } from "@bufbuild/protobuf";
import { type Outcome, OutcomeSchema, SplitSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import { toValue } from "../../lib/values";
import { Field, Select } from "../basics";
import { useForm, useProblem } from "../draft";
import { JsonField } from "./json-field";
import { SplitEditor } from "./split-editor";

const choices = { split: "\u0000split", expression: "\u0000expression", nothing: "\u0000nothing" };

// What is served: a variant, a split, and, of rules, what an expression names.
export function OutcomeEditor({
  outcome,
  path,
  variants,
  label,
  rule,
  set,
}: {
  outcome: Outcome | undefined;
  path: string;
  variants: string[];
  label: string;
  // Of a rule: it may name a variant by an expression, and serves something always.
  rule?: boolean;
  set: (how: (now: Outcome | undefined) => Outcome | undefined) => void;
}) {
  const { disabled, setText } = useForm();
  const ownProblem = useProblem(path);
  const variantProblem = useProblem(`${path}.variant`);
  const problem = ownProblem ?? variantProblem;
  const kind = outcome?.kind;
  const value =
    kind?.case === "variant"
      ? kind.value
      : kind?.case === "split"
        ? choices.split
        : kind?.case === "expression"
          ? choices.expression
          : choices.nothing;

  function choose(choice: string) {
    setText(`${path}.split`, undefined);
    setText(`${path}.expression`, undefined);
    set((now) => {
      if (choice === choices.nothing) return undefined;
      if (choice === choices.expression)
        return create(OutcomeSchema, { kind: { case: "expression", value: toValue({ var: "variant" }) } });
      if (choice === choices.split)
        return create(OutcomeSchema, { kind: { case: "split", value: firstSplit(now, variants) } });
      return create(OutcomeSchema, { kind: { case: "variant", value: choice } });
    });
  }

  return (
    <div className="stack tight">
      <Field label={label} problem={problem}>
        {(ids) => (
          <Select
            {...ids}
            style={{ justifySelf: "start", width: "auto", minWidth: 180 }}
            disabled={disabled}
            value={value}
            onChange={(e) => choose(e.target.value)}
          >
            {value === choices.nothing && rule && <option value={choices.nothing}>choose…</option>}
            {kind?.case === "variant" && !variants.includes(kind.value) && <option>{kind.value}</option>}
            {variants.map((v) => (
              <option key={v} value={v}>
                {v}
              </option>
            ))}
            <option value={choices.split}>a share of users each: a split</option>
            {rule && <option value={choices.expression}>what an expression names</option>}
            {!rule && <option value={choices.nothing}>the caller’s own default</option>}
          </Select>
        )}
      </Field>
      {kind?.case === "split" && (
        <SplitEditor
          split={kind.value}
          path={`${path}.split`}
          variants={variants}
          change={(how) =>
            set((now) => {
              if (now?.kind.case === "split") how(now.kind.value);
              return now;
            })
          }
        />
      )}
      {kind?.case === "expression" && (
        <JsonField
          label="Expression that names a variant"
          hint="JsonLogic with flagd’s operators. null: the next rule is tried."
          path={`${path}.expression`}
          value={kind.value}
          set={(value) => set(() => create(OutcomeSchema, { kind: { case: "expression", value } }))}
        />
      )}
    </div>
  );
}

// A split of two that serves everyone what was served before.
function firstSplit(now: Outcome | undefined, variants: string[]) {
  const control = now?.kind.case === "variant" ? now.kind.value : (variants.at(-1) ?? "");
  const treatment = variants.find((v) => v !== control) ?? control;
  const shares = [
    { variant: treatment, weight: 0 },
    { variant: control, weight: 10_000 },
  ];
  return create(SplitSchema, { variants: treatment === control ? shares.slice(1) : shares });
}
