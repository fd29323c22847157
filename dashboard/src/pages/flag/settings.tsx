import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { Plus, X } from "lucide-react";
import { useState } from "react";
import { Button, Card, Field, IconButton, Input, Note, Select, TextArea } from "../../components/basics";
import { Chips } from "../../components/chips";
import { useForm, useProblem, useTyped, type Version } from "../../components/draft";
import type { FlagActivity } from "../../gen/tidegate/control/v1/watch_service_pb";
import { type Flag, FlagKind, type FlagSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import { kindMeaning, kindWords } from "../../lib/flag-words";
import { readNumber } from "../../lib/values";
import { formatDuration, readDuration } from "../../lib/yaml/duration";
import { DeleteFlag } from "./delete-flag";
import type { Edit } from "./targeting";

// What people should know of the flag, and who may evaluate it.
export function Settings({
  environment,
  flag,
  version,
  edit,
  activity,
  mayWrite,
  onDeleted,
}: {
  environment: string;
  flag: Flag;
  version: Version<typeof FlagSchema>;
  edit: Edit;
  activity: FlagActivity | undefined;
  mayWrite: boolean;
  onDeleted: () => void;
}) {
  return (
    <>
      <Card title="For people">
        <About flag={flag} edit={edit} />
      </Card>
      <Card title="Who may evaluate it">
        <Clients flag={flag} edit={edit} />
      </Card>
      <Card title="Metadata">
        <Metadata flag={flag} edit={edit} />
      </Card>
      {mayWrite && (
        <Card title="Delete">
          <DeleteFlag environment={environment} version={version} activity={activity} onDeleted={onDeleted} />
        </Card>
      )}
    </>
  );
}

function About({ flag, edit }: { flag: Flag; edit: Edit }) {
  const { disabled } = useForm();
  const owner = useProblem("owner");
  const kind = useProblem("kind");
  const lifetime = useTyped(
    "expected_lifetime",
    flag.expectedLifetime ? formatDuration(flag.expectedLifetime) : "",
    (text) => {
      if (text.trim() === "") return { value: undefined };
      const value = readDuration(text.trim());
      return value ? { value } : { problem: "Write it such as 12h or 30d." };
    },
    (d) =>
      edit((f) => {
        f.expectedLifetime = d;
      }),
  );
  return (
    <div className="stack">
      <Field label="Description" hint="What it switches, and what to look at before it is changed.">
        {(ids) => (
          <TextArea
            {...ids}
            rows={2}
            disabled={disabled}
            value={flag.description}
            onChange={(e) =>
              edit((f) => {
                f.description = e.target.value;
              })
            }
          />
        )}
      </Field>
      <div className="pair">
        <Field label="Owner" hint="The team or person to ask." problem={owner}>
          {(ids) => (
            <Input
              {...ids}
              disabled={disabled}
              value={flag.owner}
              onChange={(e) =>
                edit((f) => {
                  f.owner = e.target.value;
                })
              }
            />
          )}
        </Field>
        <Field label="Kind" hint={kindMeaning[flag.kind]} problem={kind}>
          {(ids) => (
            <Select
              {...ids}
              disabled={disabled}
              value={flag.kind}
              onChange={(e) =>
                edit((f) => {
                  f.kind = Number(e.target.value);
                })
              }
            >
              <option value={FlagKind.UNSPECIFIED}>not said</option>
              {[FlagKind.RELEASE, FlagKind.EXPERIMENT, FlagKind.OPERATIONAL, FlagKind.PERMISSION].map((k) => (
                <option key={k} value={k}>
                  {kindWords[k]}
                </option>
              ))}
            </Select>
          )}
        </Field>
        <Field
          label="Expected lifetime"
          hint="From when it was made, such as 90d. Past it the flag is called stale."
          problem={lifetime.problem}
        >
          {(ids) => (
            <Input
              {...ids}
              disabled={disabled}
              placeholder="nobody said"
              value={lifetime.text}
              onChange={(e) => lifetime.change(e.target.value)}
            />
          )}
        </Field>
      </div>
      <Field label="Tags">
        {(ids) => (
          <Chips
            {...ids}
            label="Tags"
            disabled={disabled}
            values={flag.tags}
            add={(texts) => {
              edit((f) => {
                f.tags = [...new Set([...f.tags, ...texts])];
              });
              return undefined;
            }}
            remove={(i) => edit((f) => void f.tags.splice(i, 1))}
          />
        )}
      </Field>
    </div>
  );
}

function Clients({ flag, edit }: { flag: Flag; edit: Edit }) {
  const { disabled } = useForm();
  return (
    <div className="stack tight">
      <label className="check">
        <input
          type="checkbox"
          disabled={disabled}
          checked={flag.clientVisible}
          onChange={(e) =>
            edit((f) => {
              f.clientVisible = e.target.checked;
            })
          }
        />
        Keys of clients may evaluate it: browsers and apps
      </label>
      {flag.clientVisible ? (
        <Note tone="warn">
          <span>
            Anybody who has the app can read what it serves: its values and the names of its variants are public. Its
            rules are not.
          </span>
        </Note>
      ) : (
        <p className="soft small">Keys of servers may always. Clients do not hear of this flag.</p>
      )}
    </div>
  );
}

type Entry = { name: string; value: JsonValue };

function Metadata({ flag, edit }: { flag: Flag; edit: Edit }) {
  const { disabled } = useForm();
  const problem = useProblem("metadata", true);
  const [added, setAdded] = useState("");
  const entries: Entry[] = Object.entries(flag.metadata ?? {}).map(([name, value]) => ({ name, value }));
  const set = (next: Entry[]) =>
    edit((f) => {
      f.metadata =
        next.length === 0 ? undefined : (Object.fromEntries(next.map((e) => [e.name, e.value])) as JsonObject);
    });
  const add = () => {
    const name = added.trim();
    if (name === "" || entries.some((e) => e.name === name)) return;
    set([...entries, { name, value: "" }]);
    setAdded("");
  };
  return (
    <div className="stack tight">
      <p className="soft small">Told to callers with each answer, such as a link to a runbook.</p>
      {entries.map((e, i) => (
        <MetadataEntry
          key={e.name}
          entry={e}
          set={(value) => set(entries.with(i, { ...e, value }))}
          remove={() => set(entries.toSpliced(i, 1))}
        />
      ))}
      {problem && <span className="problem">{problem}</span>}
      {!disabled && (
        <div className="row">
          <Input
            aria-label="Name of a new entry"
            placeholder="name"
            style={{ maxWidth: 200 }}
            value={added}
            onChange={(e) => setAdded(e.target.value)}
            onKeyDown={(e) => {
              if (e.key === "Enter") add();
            }}
          />
          <Button small disabled={added.trim() === ""} onClick={add}>
            <Plus size={14} aria-hidden /> Add
          </Button>
        </div>
      )}
    </div>
  );
}

function MetadataEntry({
  entry: { name, value },
  set,
  remove,
}: {
  entry: Entry;
  set: (value: JsonValue) => void;
  remove: () => void;
}) {
  const { disabled, setText } = useForm();
  const path = `metadata.${name}`;
  const typed = useTyped(
    path,
    typeof value === "string" ? value : JSON.stringify(value),
    (text) => readAs(value, text),
    set,
  );
  return (
    <>
      <div className="metadata">
        <code className="truncate">{name}</code>
        <Input
          aria-label={`Value of ${name}`}
          aria-invalid={typed.pending ? true : undefined}
          disabled={disabled}
          value={typed.text}
          onChange={(e) => typed.change(e.target.value)}
        />
        <Select
          aria-label={`Type of ${name}`}
          disabled={disabled}
          value={typeof value}
          onChange={(e) => {
            setText(path, undefined);
            set(asType(value, e.target.value));
          }}
        >
          <option value="string">text</option>
          <option value="number">number</option>
          <option value="boolean">true/false</option>
        </Select>
        {!disabled && (
          <IconButton
            icon={X}
            small
            label={`Remove ${name}`}
            onClick={() => {
              setText(path, undefined);
              remove();
            }}
          />
        )}
      </div>
      {typed.pending && <span className="problem">{typed.problem}</span>}
    </>
  );
}

// What was typed, as the type that the value has.
function readAs(value: JsonValue, text: string): { value: JsonValue } | { problem: string } {
  if (typeof value === "number") {
    const read = readNumber(text);
    return "problem" in read ? read : { value: read.number };
  }
  if (typeof value !== "boolean") return { value: text };
  return text === "true" || text === "false" ? { value: text === "true" } : { problem: "Must be true or false." };
}

function asType(value: JsonValue, type: string): JsonValue {
  if (type === "number") {
    const read = readNumber(String(value));
    return "problem" in read ? 0 : read.number;
  }
  if (type === "boolean") return value === true || value === "true";
  return typeof value === "string" ? value : JSON.stringify(value);
}
