import { Trash2 } from "lucide-react";
import { useState } from "react";
import { segments } from "../../api/transport";
import { useLive } from "../../api/use-live";
import { Button, Card, Field, Input, Note, TextArea } from "../../components/basics";
import { ChangeDialog } from "../../components/change-dialog";
import { useForm, useProblem, type Version } from "../../components/draft";
import { ResourceKind } from "../../gen/tidegate/control/v1/audit_pb";
import type { Segment, SegmentSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import { plural } from "../../lib/numbers";

// What people should know of the segment, what its lists hold, and its end.
export function SegmentAbout({
  environment,
  segment,
  version,
  edit,
  mayWrite,
  onDeleted,
}: {
  environment: string;
  segment: Segment;
  version: Version<typeof SegmentSchema>;
  edit: (how: (s: Segment) => void) => void;
  mayWrite: boolean;
  onDeleted: () => void;
}) {
  const { disabled } = useForm();
  const attribute = useProblem("key_attribute");
  return (
    <>
      <Card title="For people">
        <div className="stack">
          <Field label="Description" hint="Who they are, and why they are together.">
            {(ids) => (
              <TextArea
                {...ids}
                rows={2}
                disabled={disabled}
                value={segment.description}
                onChange={(e) =>
                  edit((s) => {
                    s.description = e.target.value;
                  })
                }
              />
            )}
          </Field>
          <Field label="Owner" hint="The team or person to ask.">
            {(ids) => (
              <Input
                {...ids}
                disabled={disabled}
                value={segment.owner}
                onChange={(e) =>
                  edit((s) => {
                    s.owner = e.target.value;
                  })
                }
              />
            )}
          </Field>
        </div>
      </Card>
      <Card title="What the lists hold">
        <Field
          label="Attribute"
          hint="Empty: targeting keys. Such as email: the lists are of e-mail addresses then."
          problem={attribute}
        >
          {(ids) => (
            <Input
              {...ids}
              className="mono"
              disabled={disabled}
              placeholder="targetingKey"
              value={segment.keyAttribute}
              onChange={(e) =>
                edit((s) => {
                  s.keyAttribute = e.target.value;
                })
              }
            />
          )}
        </Field>
      </Card>
      {mayWrite && (
        <Card title="Delete">
          <DeleteSegment environment={environment} version={version} onDeleted={onDeleted} />
        </Card>
      )}
    </>
  );
}

function DeleteSegment({
  environment,
  version,
  onDeleted,
}: {
  environment: string;
  version: Version<typeof SegmentSchema>;
  onDeleted: () => void;
}) {
  const { key } = version.message;
  const [asking, setAsking] = useState(false);
  const flags = useLive((l) => l.flags);
  const users = [...flags.values()].filter((f) => f.segments.includes(key)).length;
  return (
    <div className="stack tight">
      {users > 0 && (
        <Note tone="warn">
          <span>{plural(users, "flag")} name it in a rule. Take it out of them first.</span>
        </Note>
      )}
      <div>
        <Button disabled={users > 0} title={users > 0 ? "Flags use it" : undefined} onClick={() => setAsking(true)}>
          <Trash2 size={15} aria-hidden /> Delete the segment…
        </Button>
      </div>
      {asking && (
        <ChangeDialog
          title={`Delete the segment ${key} from ${environment}`}
          environment={environment}
          label="Delete"
          danger
          done={`The segment ${key} is deleted from ${environment}`}
          run={async (reason, requestId) => {
            const r = await segments.deleteSegment({
              environment,
              segmentKey: key,
              baseRevision: version.revision,
              reason,
              requestId,
            });
            return { revision: r.entry?.revision };
          }}
          proposal={() => ({ deletes: [{ kind: ResourceKind.SEGMENT, key, baseRevision: version.revision }] })}
          onClose={() => setAsking(false)}
          onDone={onDeleted}
        >
          <p>No flag names it: nothing is served differently.</p>
        </ChangeDialog>
      )}
    </div>
  );
}
