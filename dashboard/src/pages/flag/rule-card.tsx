import { create } from "@bufbuild/protobuf";
import { ArrowDown, ArrowUp, ChevronDown, ChevronRight, Copy, GripVertical, Trash2 } from "lucide-react";
import { useLayoutEffect, useMemo, useRef } from "react";
import { useLive } from "../../api/use-live";
import { Badge, Button, Field, IconButton, Input } from "../../components/basics";
import { useForm, useProblem } from "../../components/draft";
import { ClausesEditor } from "../../components/rules/clauses-editor";
import { JsonField } from "../../components/rules/json-field";
import { OutcomeEditor } from "../../components/rules/outcome-editor";
import { Words } from "../../components/words";
import { ClauseSchema, type Flag, Operator, type Rule } from "../../gen/tidegate/flag/v1/flag_pb";
import { ruleWords } from "../../lib/explain-flag";
import { toValue } from "../../lib/values";
import { OwnedByRollout } from "./owned";

// A rule: a sentence, and, opened, a form.
export function RuleCard({
  environment,
  flag,
  rule,
  index,
  open,
  setOpen,
  rollout,
  change,
  move,
  copy,
  remove,
  dragging,
  onDrag,
  onDropHere,
}: {
  environment: string;
  flag: Flag;
  rule: Rule;
  index: number;
  open: boolean;
  setOpen: (open: boolean) => void;
  rollout: string | undefined;
  change: (how: (r: Rule) => void) => void;
  move: (by: number) => void;
  copy: () => void;
  remove: () => void;
  dragging: boolean;
  onDrag: (on: boolean) => void;
  onDropHere: () => void;
}) {
  const { disabled } = useForm();
  const path = `rules[${index}]`;
  const problem = useProblem(path, true);
  const name = rule.id || `rule ${index + 1}`;
  const [buttons, moved] = useMoves(index, move);
  return (
    <li
      className={`rule ${dragging ? "dragging" : ""} ${problem ? "wrong" : ""}`}
      onDragOver={(e) => e.preventDefault()}
      onDrop={(e) => {
        e.preventDefault();
        onDropHere();
      }}
    >
      <div className="rule-head">
        {!disabled && (
          <span
            className="grip"
            draggable
            aria-hidden
            title="Drag to another place"
            onDragStart={(e) => {
              e.dataTransfer.effectAllowed = "move";
              e.dataTransfer.setData("text/plain", rule.id);
              onDrag(true);
            }}
            onDragEnd={() => onDrag(false)}
          >
            <GripVertical size={15} />
          </span>
        )}
        <span className="place num" aria-hidden>
          {index + 1}
        </span>
        <button type="button" className="rule-open" aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? <ChevronDown size={15} aria-hidden /> : <ChevronRight size={15} aria-hidden />}
          <span>
            <strong>{name}</strong> {rollout && <Badge tone="accent">rollout</Badge>}
            <span className="sentence">
              <Words words={ruleWords(rule)} />
            </span>
            {rule.description && <span className="soft small">{rule.description}</span>}
            {problem && !open && <span className="problem small">{problem}</span>}
          </span>
        </button>
        {!disabled && (
          <span className="row tight fixed" ref={buttons}>
            <IconButton
              icon={ArrowUp}
              small
              label={`Move ${name} up`}
              disabled={index === 0}
              onClick={() => moved(-1)}
            />
            <IconButton
              icon={ArrowDown}
              small
              label={`Move ${name} down`}
              disabled={index === flag.rules.length - 1}
              onClick={() => moved(1)}
            />
          </span>
        )}
      </div>
      {open && (
        <div className="rule-form">
          <RuleForm environment={environment} flag={flag} rule={rule} path={path} rollout={rollout} change={change} />
          {!disabled && (
            <div className="row">
              <Button small onClick={copy}>
                <Copy size={14} aria-hidden /> Copy
              </Button>
              <Button
                small
                disabled={!!rollout}
                title={rollout ? `The rollout ${rollout} moves it` : undefined}
                onClick={remove}
              >
                <Trash2 size={14} aria-hidden /> Remove the rule
              </Button>
            </div>
          )}
        </div>
      )}
    </li>
  );
}

// The focus goes along with what is moved; at an end, to the button that moves it back.
function useMoves(index: number, move: (by: number) => void) {
  const buttons = useRef<HTMLSpanElement>(null);
  const last = useRef(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: it is another place that moves the focus
  useLayoutEffect(() => {
    if (last.current === 0) return;
    const [up, down] = buttons.current?.querySelectorAll("button") ?? [];
    const [pressed, other] = last.current < 0 ? [up, down] : [down, up];
    last.current = 0;
    (pressed?.disabled ? other : pressed)?.focus();
  }, [index]);
  const moved = (by: number) => {
    last.current = by;
    move(by);
  };
  return [buttons, moved] as const;
}

function RuleForm({
  environment,
  flag,
  rule,
  path,
  rollout,
  change,
}: {
  environment: string;
  flag: Flag;
  rule: Rule;
  path: string;
  rollout: string | undefined;
  change: (how: (r: Rule) => void) => void;
}) {
  const { disabled, setText } = useForm();
  const idProblem = useProblem(`${path}.id`);
  const problem = useProblem(path);
  const clausesProblem = useProblem(`${path}.clauses`);
  const own = problem ?? clausesProblem;
  const segments = useLive((l) => l.segments);
  const segmentKeys = useMemo(() => [...segments.keys()].sort(), [segments]);
  return (
    <>
      <div className="pair">
        <Field label="Id" hint="It is told with each answer." problem={idProblem}>
          {(ids) => (
            <Input
              {...ids}
              className="mono"
              spellCheck={false}
              disabled={disabled || !!rollout}
              title={rollout ? `The rollout ${rollout} refers to it` : undefined}
              value={rule.id}
              onChange={(e) =>
                change((r) => {
                  r.id = e.target.value;
                })
              }
            />
          )}
        </Field>
        <Field label="Description">
          {(ids) => (
            <Input
              {...ids}
              disabled={disabled}
              value={rule.description}
              onChange={(e) =>
                change((r) => {
                  r.description = e.target.value;
                })
              }
            />
          )}
        </Field>
      </div>
      {rule.expression ? (
        <JsonField
          label="Expression"
          hint="JsonLogic with flagd’s operators: the rule matches where its result is true."
          path={`${path}.expression`}
          value={rule.expression}
          set={(v) =>
            change((r) => {
              r.expression = v;
            })
          }
        />
      ) : (
        <ClausesEditor
          clauses={rule.clauses}
          path={`${path}.clauses`}
          segments={segmentKeys}
          change={(how) => change((r) => how(r.clauses))}
        />
      )}
      {own && <span className="problem">{own}</span>}
      {!disabled && (
        <div>
          <Button
            small
            kind="quiet"
            onClick={() => {
              setText(`${path}.expression`, undefined);
              change((r) => {
                if (r.expression) {
                  r.expression = undefined;
                  r.clauses = [create(ClauseSchema, { operator: Operator.IN })];
                } else {
                  r.clauses = [];
                  r.expression = toValue({ "==": [{ var: "plan" }, "pro"] });
                }
              });
            }}
          >
            {rule.expression ? "Use conditions in place of the expression" : "Use an expression (JsonLogic) instead"}
          </Button>
        </div>
      )}
      <OwnedByRollout environment={environment} rollout={rollout}>
        <OutcomeEditor
          rule
          label="Then serve"
          outcome={rule.outcome}
          path={`${path}.outcome`}
          variants={flag.variants.map((v) => v.name)}
          set={(how) =>
            change((r) => {
              r.outcome = how(r.outcome);
            })
          }
        />
      </OwnedByRollout>
    </>
  );
}
