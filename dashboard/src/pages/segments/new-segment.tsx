import "../../styles/editor.css";
import "../../styles/rules.css";
import { create } from "@bufbuild/protobuf";
import { useState } from "react";
import { Link, useLocation } from "wouter";
import { segments } from "../../api/transport";
import { useEnvironment } from "../../api/use-environment";
import { useLive } from "../../api/use-live";
import { useRefusal } from "../../api/use-write";
import { Button, Card, Field, Input, TextArea } from "../../components/basics";
import { ChangeDialog } from "../../components/change-dialog";
import { LeaveDialog } from "../../components/leave-dialog";
import { PageHead } from "../../components/page";
import { SegmentSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import { withoutAsking } from "../../lib/address";
import { plural } from "../../lib/numbers";
import { keyProblem } from "../../lib/templates";
import { readKeys } from "./words";

// A segment begins with a name, and perhaps a list.
export default function NewSegment() {
  const environment = useEnvironment();
  const refusal = useRefusal(environment);
  const [location, navigate] = useLocation();
  const existing = useLive((l) => l.segments);
  const [key, setKey] = useState("");
  const [description, setDescription] = useState("");
  const [owner, setOwner] = useState("");
  const [pasted, setPasted] = useState("");
  const [creating, setCreating] = useState(false);
  const included = readKeys(pasted);
  const problem = existing.has(key) ? "There is a segment of this key already." : keyProblem(key, undefined, false);
  const entered = [key, description, owner, pasted].some((text) => text !== "");
  const no = refusal(...(key ? [key] : []));
  const ready = key !== "" && !problem && !no;

  return (
    <div className="page">
      <PageHead
        title="New segment"
        tab={`New segment · ${environment}`}
        above={
          <div className="small">
            <Link href={`/${environment}/segments`}>Segments</Link>
          </div>
        }
      >
        An audience with a name, in {environment}. Rules can be added once it is there.
      </PageHead>
      <form
        className="stack narrow"
        onSubmit={(e) => {
          e.preventDefault();
          if (ready) setCreating(true);
        }}
      >
        <Card title="What is it called?">
          <div className="stack">
            <Field label="Key" hint="What rules name. It stays as it is." problem={problem}>
              {(ids) => (
                <Input
                  {...ids}
                  className="mono"
                  autoFocus
                  required
                  spellCheck={false}
                  autoComplete="off"
                  placeholder="beta-testers"
                  value={key}
                  onChange={(e) => setKey(e.target.value)}
                />
              )}
            </Field>
            <Field label="Description" hint="Who they are, and why they are together.">
              {(ids) => <Input {...ids} value={description} onChange={(e) => setDescription(e.target.value)} />}
            </Field>
            <Field label="Owner" hint="The team or person to ask.">
              {(ids) => <Input {...ids} value={owner} onChange={(e) => setOwner(e.target.value)} />}
            </Field>
            <Field
              label="Keys that belong"
              hint={
                included.length > 0
                  ? `${plural(included.length, "key")}.`
                  : "Targeting keys: one a line, or with commas between. May stay empty."
              }
            >
              {(ids) => (
                <TextArea
                  {...ids}
                  className="mono"
                  rows={4}
                  spellCheck={false}
                  value={pasted}
                  onChange={(e) => setPasted(e.target.value)}
                />
              )}
            </Field>
          </div>
        </Card>
        <div className="row">
          <Button type="submit" kind="primary" disabled={!ready} title={no}>
            Create…
          </Button>
          <Link className="button" href={`/${environment}/segments`}>
            Cancel
          </Link>
          {no && <span className="small soft">{no}.</span>}
        </div>
      </form>
      {creating && (
        <ChangeDialog
          title={`Create the segment ${key} in ${environment}`}
          environment={environment}
          label="Create"
          done={`The segment ${key} is created`}
          run={async (reason, requestId) => {
            const segment = create(SegmentSchema, { key, description, owner, included });
            const { segment: made } = await segments.createSegment({ environment, segment, reason, requestId });
            return { revision: made?.revision };
          }}
          proposal={() => ({
            segments: [{ segment: create(SegmentSchema, { key, description, owner, included }), baseRevision: 0n }],
          })}
          onProposed={() => withoutAsking(() => navigate(`/${environment}/requests`))}
          onClose={() => setCreating(false)}
          onDone={() => withoutAsking(() => navigate(`/${environment}/segments/${key}`))}
        >
          <p>No flag uses it yet: nothing is served differently.</p>
        </ChangeDialog>
      )}
      {entered && <LeaveDialog what="The new segment" stay={location} />}
    </div>
  );
}
