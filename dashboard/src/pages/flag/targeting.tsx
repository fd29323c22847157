import { clone, create } from "@bufbuild/protobuf";
import { Plus } from "lucide-react";
import { useMemo, useState } from "react";
import { useLive } from "../../api/use-live";
import { Button, Card, Field, Select } from "../../components/basics";
import { useForm, useProblem } from "../../components/draft";
import { OutcomeEditor } from "../../components/rules/outcome-editor";
import type { FlagSummary } from "../../gen/tidegate/control/v1/watch_service_pb";
import {
  ClauseSchema,
  type Flag,
  Operator,
  OutcomeSchema,
  type Rule,
  RuleSchema,
} from "../../gen/tidegate/flag/v1/flag_pb";
import { keyed, nothingKeyed } from "../../lib/keyed";
import { OwnedByRollout } from "./owned";
import { Prerequisites } from "./prerequisites";
import { RuleCard } from "./rule-card";

export type Edit = (how: (f: Flag) => void) => void;

// To whom the flag serves what, in the order in which it is looked at.
export function Targeting({
  environment,
  flag,
  edit,
  summary,
}: {
  environment: string;
  flag: Flag;
  edit: Edit;
  summary: FlagSummary | undefined;
}) {
  const { disabled } = useForm();
  const variants = flag.variants.map((v) => v.name);
  const rollouts = useLive((l) => l.rollouts);
  // By the rule whose outcome it owns; "" is the default.
  const owners = useMemo(() => {
    const owned = new Map<string, string>();
    for (const key of summary?.rollouts ?? []) {
      const r = rollouts.get(key);
      if (r) owned.set(r.rule, key);
    }
    return owned;
  }, [summary, rollouts]);

  return (
    <>
      <Prerequisites environment={environment} flag={flag} edit={edit} />
      <Rules environment={environment} flag={flag} edit={edit} owners={owners} />
      <Card title={flag.rules.length > 0 ? "Everyone else" : "Everyone"}>
        <OwnedByRollout environment={environment} rollout={owners.get("")}>
          <OutcomeEditor
            label="Serve"
            outcome={flag.defaultOutcome}
            path="default_outcome"
            variants={variants}
            set={(how) =>
              edit((f) => {
                f.defaultOutcome = how(f.defaultOutcome);
              })
            }
          />
        </OwnedByRollout>
      </Card>
      <Card title="While it is off">
        <OffVariant flag={flag} edit={edit} disabled={disabled} />
      </Card>
    </>
  );
}

function Rules({
  environment,
  flag,
  edit,
  owners,
}: {
  environment: string;
  flag: Flag;
  edit: Edit;
  owners: ReadonlyMap<string, string>;
}) {
  const { disabled, moveTexts } = useForm();
  // Where a rule stands changes, and so does its id: it is known by its key.
  const [before, setKeys] = useState(nothingKeyed);
  const rules = keyed(
    before,
    flag.rules.map((r) => r.id),
  );
  if (rules !== before) setKeys(rules);
  const [open, setOpen] = useState<number>();
  const [dragged, setDragged] = useState<number>();

  function move(from: number, to: number) {
    if (to < 0 || to >= flag.rules.length || from === to) return;
    edit((f) => {
      f.rules.splice(to, 0, ...f.rules.splice(from, 1));
    });
    moveTexts("rules", (i) => {
      if (i === from) return to;
      if (from < i && i <= to) return i - 1;
      if (to <= i && i < from) return i + 1;
      return i;
    });
  }

  function add(how: (r: Rule) => void, at = flag.rules.length) {
    edit((f) => {
      const rule = create(RuleSchema, { id: freeId(f) });
      how(rule);
      f.rules.splice(at, 0, rule);
    });
    moveTexts("rules", (i) => (i >= at ? i + 1 : i));
    setOpen(rules.next); // the key that it gets
  }

  return (
    <Card
      title="Rules"
      actions={
        !disabled && (
          <Button
            small
            onClick={() =>
              add((r) => {
                r.clauses = [create(ClauseSchema, { operator: Operator.IN })];
                r.outcome = create(OutcomeSchema, { kind: { case: "variant", value: flag.variants[0]?.name ?? "" } });
              })
            }
          >
            <Plus size={14} aria-hidden /> Add a rule
          </Button>
        )
      }
      flush
    >
      {flag.rules.length === 0 ? (
        <p className="body soft">No rules: everyone is served the same way. The first rule that matches decides.</p>
      ) : (
        <ol className="rules">
          {flag.rules.map((rule, i) => (
            <RuleCard
              key={rules.keys[i]}
              environment={environment}
              flag={flag}
              rule={rule}
              index={i}
              open={open === rules.keys[i]}
              setOpen={(o) => setOpen(o ? rules.keys[i] : undefined)}
              rollout={owners.get(rule.id)}
              change={(how) =>
                edit((f) => {
                  const mine = f.rules[i];
                  if (mine) how(mine);
                })
              }
              move={(by) => move(i, i + by)}
              copy={() => add((r) => Object.assign(r, clone(RuleSchema, rule), { id: freeId(flag, rule.id) }), i + 1)}
              remove={() => {
                edit((f) => void f.rules.splice(i, 1));
                moveTexts("rules", (n) => (n === i ? undefined : n > i ? n - 1 : n));
                setOpen(undefined);
              }}
              dragging={dragged === i}
              onDrag={(on) => setDragged(on ? i : undefined)}
              onDropHere={() => {
                if (dragged !== undefined) move(dragged, i);
                setDragged(undefined);
              }}
            />
          ))}
        </ol>
      )}
    </Card>
  );
}

// An id that no rule of the flag has.
function freeId(flag: Flag, like = "rule"): string {
  const taken = new Set(flag.rules.map((r) => r.id));
  const stem = like.replace(/-\d+$/, "");
  for (let n = flag.rules.length + 1; ; n++) if (!taken.has(`${stem}-${n}`)) return `${stem}-${n}`;
}

function OffVariant({ flag, edit, disabled }: { flag: Flag; edit: Edit; disabled: boolean }) {
  const problem = useProblem("off_variant");
  return (
    <Field
      label="Serve"
      hint="To everyone while the flag is off, and where a prerequisite is not met."
      problem={problem}
    >
      {(ids) => (
        <Select
          {...ids}
          style={{ justifySelf: "start", width: "auto", minWidth: 180 }}
          disabled={disabled}
          value={flag.offVariant}
          onChange={(e) =>
            edit((f) => {
              f.offVariant = e.target.value;
            })
          }
        >
          <option value="">the caller’s own default</option>
          {flag.variants.map((v) => (
            <option key={v.name} value={v.name}>
              {v.name}
            </option>
          ))}
        </Select>
      )}
    </Field>
  );
}
