import { create } from "@bufbuild/protobuf";
import { ArrowDown, ArrowUp, X } from "lucide-react";
import { type Split, type WeightedVariant, WeightedVariantSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import { seriesColor } from "../../lib/flag-words";
import { percentages, readPercent, sharesProblem, sumOf, weightsOf, withPercent, withRest } from "../../lib/split";
import { Button, Field, IconButton, Input, Select } from "../basics";
import { useForm, useProblem } from "../draft";

// The shares of a split, in per cent. While they do not add up to 100 they are kept as they were
// typed, and the flag cannot be saved.
export function SplitEditor({
  split,
  path,
  variants,
  change,
}: {
  split: Split;
  path: string;
  variants: string[];
  change: (how: (s: Split) => void) => void;
}) {
  const { disabled, texts, setText } = useForm();
  const problem = useProblem(path, true);
  const pending = texts[path];
  const typed: string[] = pending === undefined ? percentages(split.variants) : JSON.parse(pending);
  const total = split.variants.reduce((all, v) => all + v.weight, 0);
  // Weights that are there are well, also where no percentages say them: thirds.
  const wrong = pending === undefined && total > 0 ? undefined : sharesProblem(typed, total);
  // What is missing of 100 may go to the last one.
  const last = split.variants.at(-1);
  const rest = last && sumOf(typed) !== 100 ? withRest(typed, typed.length - 1) : undefined;
  const missing = variants.filter((v) => !split.variants.some((w) => w.variant === v));

  // Sets shares, and who has them, if these are others.
  function set(next: string[], who: WeightedVariant[] = split.variants) {
    const weights = weightsOf(next, total);
    setText(path, weights ? undefined : JSON.stringify(next));
    change((s) => {
      s.variants = who.map((w, i) =>
        create(WeightedVariantSchema, { variant: w.variant, weight: weights?.[i] ?? w.weight }),
      );
    });
  }
  const move = (i: number, by: number) => {
    const swap = <T,>(l: T[]) => l.with(i, l[i + by] as T).with(i + by, l[i] as T);
    if (wrong) set(swap(typed), swap(split.variants));
    else
      change((s) => {
        s.variants = swap(s.variants);
      });
  };

  return (
    <div className="stack tight split">
      <span className="bar" aria-hidden>
        {split.variants.map((v, i) => (
          <span
            key={v.variant}
            style={{
              width: `${readPercent(typed[i] ?? "") ?? 0}%`,
              background: seriesColor(variants.indexOf(v.variant)),
            }}
          />
        ))}
      </span>
      {split.variants.map((w, i) => (
        <div className="share" key={w.variant}>
          <span className="swatch" style={{ background: seriesColor(variants.indexOf(w.variant)) }} aria-hidden />
          <code className="truncate">{w.variant}</code>
          <span className="percent">
            <Input
              className="num"
              inputMode="decimal"
              aria-label={`Share of ${w.variant} in per cent`}
              aria-invalid={readPercent(typed[i] ?? "") === undefined ? true : undefined}
              disabled={disabled}
              value={typed[i] ?? ""}
              onChange={(e) => set(withPercent(typed, i, e.target.value))}
            />
            %
          </span>
          {!disabled && (
            <span className="row tight fixed">
              <IconButton
                icon={ArrowUp}
                small
                label={`Move ${w.variant} up`}
                disabled={i === 0}
                onClick={() => move(i, -1)}
              />
              <IconButton
                icon={ArrowDown}
                small
                label={`Move ${w.variant} down`}
                disabled={i === split.variants.length - 1}
                onClick={() => move(i, 1)}
              />
              <IconButton
                icon={X}
                small
                label={`Take ${w.variant} out of the split`}
                disabled={split.variants.length === 1}
                onClick={() => set(typed.toSpliced(i, 1), split.variants.toSpliced(i, 1))}
              />
            </span>
          )}
        </div>
      ))}
      {wrong && (
        <div className="row problem" role="status">
          {wrong}
          {last && rest && (
            <Button small onClick={() => set(rest)}>
              Give the rest to {last.variant}
            </Button>
          )}
        </div>
      )}
      {problem && <span className="problem">{problem}</span>}
      {!disabled && missing.length > 0 && (
        <div className="row">
          <Select
            aria-label="Add a variant to the split"
            style={{ width: "auto" }}
            value=""
            onChange={(e) =>
              set([...typed, "0"], [...split.variants, create(WeightedVariantSchema, { variant: e.target.value })])
            }
          >
            <option value="">Add a variant…</option>
            {missing.map((v) => (
              <option key={v}>{v}</option>
            ))}
          </Select>
        </div>
      )}
      <p className="soft small">
        List what is new first: then a larger share only brings users in, and moves nobody out.
      </p>
      <details className="more" open={split.bucketBy !== "" || split.salt !== undefined}>
        <summary>How users are told apart</summary>
        <div className="pair">
          <Field label="By the attribute" hint="Empty: the targeting key. The same value always gets the same variant.">
            {(ids) => (
              <Input
                {...ids}
                className="mono"
                disabled={disabled}
                placeholder="targetingKey"
                value={split.bucketBy}
                onChange={(e) =>
                  change((s) => {
                    s.bucketBy = e.target.value;
                  })
                }
              />
            )}
          </Field>
          <Field
            label="Salt"
            hint="Empty: the flag's key. Flags that share a salt assign alike. Another salt assigns everyone anew."
          >
            {(ids) => (
              <Input
                {...ids}
                className="mono"
                disabled={disabled}
                value={split.salt ?? ""}
                onChange={(e) =>
                  change((s) => {
                    s.salt = e.target.value === "" ? undefined : e.target.value;
                  })
                }
              />
            )}
          </Field>
        </div>
      </details>
    </div>
  );
}
