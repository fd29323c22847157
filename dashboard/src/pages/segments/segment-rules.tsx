import { create } from "@bufbuild/protobuf";
import { Plus, Trash2 } from "lucide-react";
import { Button, Card } from "../../components/basics";
import { useForm, useProblem } from "../../components/draft";
import { ClausesEditor } from "../../components/rules/clauses-editor";
import { Words } from "../../components/words";
import {
  ClauseSchema,
  Operator,
  type Segment,
  type SegmentRule,
  SegmentRuleSchema,
} from "../../gen/tidegate/flag/v1/flag_pb";
import { clausesWords } from "../../lib/explain-flag";

// Whoever any of these matches belongs too.
export function SegmentRules({ segment, edit }: { segment: Segment; edit: (how: (s: Segment) => void) => void }) {
  const { disabled, moveTexts } = useForm();
  return (
    <Card
      title="Rules"
      actions={
        !disabled && (
          <Button
            small
            onClick={() =>
              edit((s) => {
                s.rules.push(create(SegmentRuleSchema, { clauses: [create(ClauseSchema, { operator: Operator.IN })] }));
              })
            }
          >
            <Plus size={14} aria-hidden /> Add a rule
          </Button>
        )
      }
    >
      {segment.rules.length === 0 ? (
        <p className="soft">No rules: the list alone says who belongs.</p>
      ) : (
        <ol className="segment-rules">
          {segment.rules.map((rule, i) => (
            <OneRule
              // biome-ignore lint/suspicious/noArrayIndexKey: rules of segments have no name
              key={i}
              rule={rule}
              index={i}
              change={(how) =>
                edit((s) => {
                  const mine = s.rules[i];
                  if (mine) how(mine);
                })
              }
              remove={() => {
                edit((s) => {
                  s.rules.splice(i, 1);
                });
                moveTexts("rules", (n) => (n === i ? undefined : n > i ? n - 1 : n));
              }}
            />
          ))}
        </ol>
      )}
    </Card>
  );
}

function OneRule({
  rule,
  index,
  change,
  remove,
}: {
  rule: SegmentRule;
  index: number;
  change: (how: (r: SegmentRule) => void) => void;
  remove: () => void;
}) {
  const { disabled } = useForm();
  const path = `rules[${index}]`;
  const own = useProblem(path);
  const inClauses = useProblem(`${path}.clauses`);
  const problem = own ?? inClauses;
  return (
    <li aria-label={`Rule ${index + 1}`}>
      <p>
        {index > 0 && <span className="soft">or </span>}
        <Words words={clausesWords(rule.clauses)} />
      </p>
      <ClausesEditor clauses={rule.clauses} path={`${path}.clauses`} change={(how) => change((r) => how(r.clauses))} />
      {problem && <span className="problem">{problem}</span>}
      {!disabled && (
        <div>
          <Button small kind="quiet" onClick={remove}>
            <Trash2 size={14} aria-hidden /> Remove the rule
          </Button>
        </div>
      )}
    </li>
  );
}
