import { create } from "@bufbuild/protobuf";
import { Plus } from "lucide-react";
import { type Clause, ClauseSchema, Operator } from "../../gen/tidegate/flag/v1/flag_pb";
import { Button } from "../basics";
import { useForm } from "../draft";
import { ClauseEditor } from "./clause-editor";

// Conditions of which all must hold.
export function ClausesEditor({
  clauses,
  path,
  segments,
  change,
}: {
  clauses: Clause[];
  path: string;
  segments?: string[];
  change: (how: (clauses: Clause[]) => void) => void;
}) {
  const { disabled, moveTexts } = useForm();
  return (
    <div className="stack tight">
      {clauses.map((clause, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: clauses have no name
        <div className="condition" key={i}>
          <span className="soft small">{i === 0 ? "If" : "and"}</span>
          <div className="room">
            <ClauseEditor
              clause={clause}
              path={`${path}[${i}]`}
              label={`condition ${i + 1}`}
              segments={segments}
              change={(how) =>
                change((all) => {
                  const mine = all[i];
                  if (mine) how(mine);
                })
              }
              remove={() => {
                change((all) => {
                  all.splice(i, 1);
                });
                moveTexts(path, (n) => (n === i ? undefined : n > i ? n - 1 : n));
              }}
            />
          </div>
        </div>
      ))}
      {clauses.length === 0 && <p className="soft">No condition: it matches everyone.</p>}
      {!disabled && (
        <div>
          <Button
            small
            kind="quiet"
            onClick={() => change((all) => void all.push(create(ClauseSchema, { operator: Operator.IN })))}
          >
            <Plus size={14} aria-hidden /> Add a condition
          </Button>
        </div>
      )}
    </div>
  );
}
