import { create } from "@bufbuild/protobuf";
import { Plus, X } from "lucide-react";
import { Badge, Button, Card, Field, IconButton, Input, Select, TextArea } from "../../components/basics";
import { useForm, useProblem, useTyped } from "../../components/draft";
import { type Flag, ValueType, type Variant, VariantSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import { seriesColor, typeWords } from "../../lib/flag-words";
import { plural } from "../../lib/numbers";
import { editText, readValue, toValue } from "../../lib/values";
import type { Edit } from "./targeting";
import { readName, renameVariant, usesOfVariant } from "./variant-uses";

// The values that the flag can serve.
export function Variants({ flag, saved, edit }: { flag: Flag; saved: Flag; edit: Edit }) {
  const { disabled, moveTexts } = useForm();
  const problem = useProblem("variants");
  return (
    <Card
      title="Variants"
      actions={
        !disabled && (
          <Button small onClick={() => edit((f) => void f.variants.push(newVariant(f)))}>
            <Plus size={14} aria-hidden /> Add a variant
          </Button>
        )
      }
    >
      <div className="stack">
        <p className="soft small">
          Each is a named {typeWords[flag.type]}. Code sees the value; rules, rollouts and reports use the name.
          {flag.clientVisible && " Names and values are public: the flag is visible to clients."}
        </p>
        {flag.variants.map((v, i) => (
          <OneVariant
            // biome-ignore lint/suspicious/noArrayIndexKey: names are edited
            key={i}
            flag={flag}
            variant={v}
            index={i}
            isNew={!saved.variants.some((s) => s.name === v.name)}
            edit={edit}
            remove={() => {
              edit((f) => void f.variants.splice(i, 1));
              moveTexts("variants", (n) => (n === i ? undefined : n > i ? n - 1 : n));
            }}
          />
        ))}
        {problem && <span className="problem">{problem}</span>}
      </div>
    </Card>
  );
}

function newVariant(f: Flag): Variant {
  const zero = { [ValueType.STRING]: "", [ValueType.INTEGER]: 0, [ValueType.DOUBLE]: 0, [ValueType.OBJECT]: {} };
  let n = f.variants.length + 1;
  while (f.variants.some((v) => v.name === `variant-${n}`)) n++;
  return create(VariantSchema, { name: `variant-${n}`, value: toValue(zero[f.type as keyof typeof zero] ?? true) });
}

function OneVariant({
  flag,
  variant,
  index,
  isNew,
  edit,
  remove,
}: {
  flag: Flag;
  variant: Variant;
  index: number;
  isNew: boolean;
  edit: Edit;
  remove: () => void;
}) {
  const { disabled } = useForm();
  const path = `variants[${index}]`;
  const uses = usesOfVariant(flag, variant.name);
  const name = useTyped(
    `${path}.name`,
    variant.name,
    (text) => readName(flag, index, text),
    (n) => edit((f) => renameVariant(f, index, n)),
  );
  const value = useTyped(
    `${path}.value`,
    editText(flag.type, variant.value),
    (text) => readValue(flag.type, text),
    (v) =>
      edit((f) => {
        const mine = f.variants[index];
        if (mine) mine.value = v;
      }),
  );
  return (
    <div className="variant" role="group" aria-label={`Variant ${variant.name}`}>
      <span className="swatch" style={{ background: seriesColor(index) }} aria-hidden />
      <Field label="Name" problem={name.problem}>
        {(ids) => (
          <Input
            {...ids}
            className="mono"
            spellCheck={false}
            disabled={disabled}
            value={name.text}
            onChange={(e) => name.change(e.target.value)}
          />
        )}
      </Field>
      <Field label={flag.type === ValueType.OBJECT ? "Value (JSON)" : "Value"} problem={value.problem}>
        {(ids) => <ValueInput ids={ids} type={flag.type} {...value} disabled={disabled} />}
      </Field>
      <div className="uses small soft">
        {isNew && <Badge tone="accent">new</Badge>}
        <span title={uses.join(", ")}>
          {uses.length === 0 ? "served nowhere" : `in ${plural(uses.length, "place")}`}
        </span>
        {!disabled && (
          <IconButton
            icon={X}
            small
            label={uses.length > 0 ? `It is served: ${uses.join(", ")}` : `Remove the variant ${variant.name}`}
            disabled={uses.length > 0 || flag.variants.length === 1}
            onClick={remove}
          />
        )}
      </div>
    </div>
  );
}

function ValueInput({
  ids,
  type,
  text,
  change,
  disabled,
}: {
  ids: object;
  type: ValueType;
  text: string;
  change: (text: string) => void;
  disabled: boolean;
}) {
  const common = { ...ids, disabled, value: text, spellCheck: false };
  if (type === ValueType.BOOLEAN)
    return (
      <Select {...common} onChange={(e) => change(e.target.value)}>
        <option>true</option>
        <option>false</option>
      </Select>
    );
  if (type === ValueType.OBJECT || text.includes("\n") || text.length > 60)
    return (
      <TextArea
        {...common}
        className="mono"
        wrap={type === ValueType.OBJECT ? "off" : undefined}
        rows={Math.min(16, Math.max(2, text.split("\n").length))}
        onChange={(e) => change(e.target.value)}
      />
    );
  return (
    <Input
      {...common}
      className="mono"
      inputMode={type === ValueType.STRING ? undefined : "decimal"}
      onChange={(e) => change(e.target.value)}
    />
  );
}
