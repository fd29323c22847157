import { X } from "lucide-react";
import { useId, useState } from "react";
import { type Clause, Operator } from "../../gen/tidegate/flag/v1/flag_pb";
import { builtInAttributes, operators, operatorWords } from "../../lib/operators";
import { jsonOf, readNumber, toValue } from "../../lib/values";
import { IconButton, Input, Select } from "../basics";
import { Chips } from "../chips";
import { useForm, useProblem, useTyped } from "../draft";

// Attributes that are always offered: those that everyone has, and those that most have.
const common = [...builtInAttributes.map((a) => a.name), "email", "country", "plan", "appVersion"];

// One condition: attribute, operator, values. `change` gets a function, as a draft takes it.
export function ClauseEditor({
  clause,
  path,
  label,
  segments,
  change,
  remove,
}: {
  clause: Clause;
  path: string;
  label: string;
  // Undefined: where none can be named.
  segments?: string[];
  change: (how: (c: Clause) => void) => void;
  remove: () => void;
}) {
  const { disabled } = useForm();
  const problem = useProblem(path, true);
  const words = operatorWords(clause.operator);
  const attributes = useId();
  const inSegment = clause.operator === Operator.IN_SEGMENT;
  return (
    <div className={`clause ${words.single ? "short" : ""}`} role="group" aria-label={label}>
      {!inSegment && (
        <>
          <Input
            className="attribute mono"
            aria-label="Attribute"
            placeholder="attribute"
            list={attributes}
            spellCheck={false}
            autoComplete="off"
            disabled={disabled}
            value={clause.attribute}
            title={builtInAttributes.find((a) => a.name === clause.attribute)?.words}
            onChange={(e) =>
              change((c) => {
                c.attribute = e.target.value;
              })
            }
          />
          <datalist id={attributes}>
            {common.map((a) => (
              <option key={a} value={a} />
            ))}
          </datalist>
        </>
      )}
      <Select
        className="operator"
        aria-label="Operator"
        disabled={disabled}
        value={`${clause.negate ? "!" : ""}${clause.operator}`}
        onChange={(e) => change((c) => setOperator(c, e.target.value))}
      >
        {operators
          .filter((o) => segments || o.operator !== Operator.IN_SEGMENT)
          .flatMap((o) => [
            <option key={o.operator} value={String(o.operator)}>
              {o.words}
            </option>,
            <option key={`!${o.operator}`} value={`!${o.operator}`}>
              {o.not}
            </option>,
          ])}
      </Select>
      <div className="values">
        {words.single ? (
          <SingleValue clause={clause} path={`${path}.values[0]`} label={label} change={change} />
        ) : (
          words.operands !== "none" && (
            <ClauseValues clause={clause} label={label} segments={segments} change={change} />
          )
        )}
      </div>
      {!disabled && <IconButton icon={X} small label={`Remove ${label}`} onClick={remove} />}
      {problem && <span className="problem">{problem}</span>}
    </div>
  );
}

function setOperator(c: Clause, choice: string) {
  c.negate = choice.startsWith("!");
  const before = operatorWords(c.operator);
  c.operator = Number(choice.replace("!", ""));
  const after = operatorWords(c.operator);
  if (c.operator === Operator.IN_SEGMENT) c.attribute = "";
  if (before.operands === after.operands && !after.single) return;
  // What cannot be a value of the new one goes.
  c.values = c.values.filter((v) => {
    const json = jsonOf(v);
    switch (after.operands) {
      case "none":
        return false;
      case "number":
        return typeof json === "number";
      case "segment":
        return before.operands === "segment";
      case "any":
        return before.operands !== "segment";
      default:
        return typeof json === "string" && before.operands !== "segment";
    }
  });
  if (after.single) c.values = c.values.slice(0, 1);
}

const hints = {
  any: "Type, then Enter",
  text: "Type, then Enter",
  number: "A number",
  date: "2026-01-31T09:00:00Z",
  version: "1.2.3",
  segment: "A segment",
  none: "",
};

// The value of an operator that takes one: a number, a date, a version.
function SingleValue({
  clause,
  path,
  label,
  change,
}: {
  clause: Clause;
  path: string;
  label: string;
  change: (how: (c: Clause) => void) => void;
}) {
  const { disabled } = useForm();
  const { operands } = operatorWords(clause.operator);
  const json = clause.values[0] && jsonOf(clause.values[0]);
  const typed = useTyped(
    path,
    json === undefined ? "" : typeof json === "string" ? json : JSON.stringify(json),
    (text): { value: Clause["values"] } | { problem: string } => {
      const t = text.trim();
      if (t === "") return { value: [] };
      if (operands === "version") return { value: [toValue(t)] };
      const read = readNumber(t);
      if ("number" in read) return { value: [toValue(read.number)] };
      return operands === "number" ? read : { value: [toValue(t)] };
    },
    (values) =>
      change((c) => {
        c.values = values;
      }),
  );
  return (
    <>
      <Input
        className="mono"
        aria-label={`Value of ${label}`}
        aria-invalid={typed.problem ? true : undefined}
        placeholder={hints[operands]}
        inputMode={operands === "number" ? "decimal" : undefined}
        spellCheck={false}
        disabled={disabled}
        value={typed.text}
        onChange={(e) => typed.change(e.target.value)}
      />
      {typed.pending && <span className="problem">{typed.problem}</span>}
    </>
  );
}

function ClauseValues({
  clause,
  label,
  segments,
  change,
}: {
  clause: Clause;
  label: string;
  segments?: string[];
  change: (how: (c: Clause) => void) => void;
}) {
  const { disabled } = useForm();
  const words = operatorWords(clause.operator);
  const first = clause.values[0] && jsonOf(clause.values[0]);
  // Values of "is" are texts, numbers or booleans: as the first one is.
  const [chosen, setChosen] = useState("string");
  const type = words.operands === "any" ? (first === undefined ? chosen : typeof first) : words.operands;

  function add(texts: string[]): string | undefined {
    const values: Clause["values"] = [];
    for (const t of texts) {
      if (type === "number") {
        const read = readNumber(t);
        if ("problem" in read) return `${t}: ${read.problem}`;
        values.push(toValue(read.number));
      } else if (type === "boolean") {
        if (t !== "true" && t !== "false") return "Must be true or false.";
        values.push(toValue(t === "true"));
      } else if (type === "segment" && !segments?.includes(t)) {
        return `There is no segment ${t}.`;
      } else {
        values.push(toValue(t));
      }
    }
    change((c) => {
      const there = new Set(c.values.map((v) => JSON.stringify(jsonOf(v))));
      c.values.push(...values.filter((v) => !there.has(JSON.stringify(jsonOf(v)))));
    });
    return undefined;
  }

  return (
    <div className="typed">
      <Chips
        label={`Values of ${label}`}
        disabled={disabled}
        whole={clause.operator === Operator.MATCHES}
        placeholder={hints[words.operands]}
        suggestions={type === "segment" ? segments : type === "boolean" ? ["true", "false"] : undefined}
        values={clause.values.map((v) => {
          const json = jsonOf(v);
          return typeof json === "string" ? json : JSON.stringify(json);
        })}
        add={add}
        remove={(i) =>
          change((c) => {
            c.values.splice(i, 1);
          })
        }
      />
      {words.operands === "any" && (
        <Select
          aria-label={`Type of the values of ${label}`}
          disabled={disabled}
          value={type}
          onChange={(e) => {
            setChosen(e.target.value);
            change((c) => {
              c.values = retyped(c.values, e.target.value);
            });
          }}
        >
          <option value="string">text</option>
          <option value="number">number</option>
          <option value="boolean">true/false</option>
        </Select>
      )}
    </div>
  );
}

// The values as another type; what cannot be one goes.
function retyped(values: Clause["values"], type: string): Clause["values"] {
  return values.flatMap((v) => {
    const json = jsonOf(v);
    const text = typeof json === "string" ? json : JSON.stringify(json);
    if (type === "string") return [toValue(text)];
    if (type === "boolean") return text === "true" || text === "false" ? [toValue(text === "true")] : [];
    const read = readNumber(text);
    return "problem" in read ? [] : [toValue(read.number)];
  });
}
