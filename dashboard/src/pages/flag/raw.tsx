import { clone, equals } from "@bufbuild/protobuf";
import { CheckCircle2, XCircle } from "lucide-react";
import { lazy, Suspense, useMemo, useState } from "react";
import { Button, Card, CopyButton, Skeleton } from "../../components/basics";
import type { Mark } from "../../components/code-editor";
import { useForm } from "../../components/draft";
import { type Flag, FlagSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import { hasComments } from "../../lib/yaml/comments";
import { placeOf, type ReadFlag, readFlag } from "../../lib/yaml/flag-read";
import { writeFlag } from "../../lib/yaml/flag-write";
import type { Edit } from "./targeting";

const CodeEditor = lazy(() => import("../../components/code-editor"));

const path = "raw";

// A text as somebody wrote it.
export type Typed = { text: string; comments: boolean };

// The flag as a file has it. What can be read becomes the draft at once; what the server says of
// that stands at its line.
export function Raw({
  flag,
  edit,
  checking,
  typed,
  setTyped,
}: {
  flag: Flag;
  edit: Edit;
  checking: boolean;
  typed: Typed | undefined;
  setTyped: (typed: Typed) => void;
}) {
  const { disabled, texts, setText, problems } = useForm();
  const [jump, setJump] = useState<{ at: number }>();
  const pending = texts[path];
  const written = useMemo(() => writeFlag(flag), [flag]);
  // What was typed stays, comments and all, as long as it says what the draft says.
  const text = useMemo(() => {
    if (pending !== undefined) return pending;
    const read = typed && readFlag(typed.text, flag.key).flag;
    return typed && read && equals(FlagSchema, read, flag) ? typed.text : written;
  }, [pending, typed, flag, written]);
  const read = useMemo(() => readFlag(text, flag.key), [text, flag.key]);
  const marks = useMemo(() => marksOf(read, problems), [read, problems]);

  function change(next: string) {
    setTyped({ text: next, comments: hasComments(next) });
    const r = readFlag(next, flag.key);
    setText(path, r.flag ? undefined : next);
    // It says everything: what was half typed in a form is gone with the field.
    if (r.flag) for (const other of Object.keys(texts)) setText(other, undefined);
    const there = r.flag && clone(FlagSchema, r.flag);
    if (!there) return;
    edit((f) => {
      const { defaultOutcome, expectedLifetime, metadata } = there; // which may be unset
      Object.assign(f, there, { defaultOutcome, expectedLifetime, metadata });
    });
  }

  return (
    <Card
      title="Raw"
      actions={
        <>
          {pending !== undefined && (
            <Button small onClick={() => setText(path, undefined)}>
              Back to what could be read
            </Button>
          )}
          <CopyButton text={text} label="Copy the text" />
        </>
      }
      flush
    >
      <Suspense
        fallback={
          <div className="body">
            <Skeleton height={360} />
          </div>
        }
      >
        <CodeEditor
          text={text}
          label={`${flag.key} as YAML`}
          readOnly={disabled}
          marks={marks}
          onChange={change}
          jump={jump}
        />
      </Suspense>
      <div className="raw-foot" role="status">
        {marks.length === 0 ? (
          <span className="row tight soft small">
            <CheckCircle2 size={15} aria-hidden />
            <span>
              {checking ? (
                "The server is asked…"
              ) : (
                <>
                  As <code>tidegate export</code> writes it, and <code>tidegate apply</code> reads it.
                  {typed?.comments && text === typed.text && " Its comments are not kept when it is saved."}
                </>
              )}
            </span>
          </span>
        ) : (
          <ul className="stack tight">
            {marks.map((m) => (
              <li key={`${m.from} ${m.message}`} className="row tight fixed problem">
                <XCircle size={15} aria-hidden />
                <button type="button" className="link" onClick={() => setJump({ at: m.from })}>
                  Line {text.slice(0, m.from).split("\n").length}
                </button>
                <span>{m.message}</span>
              </li>
            ))}
          </ul>
        )}
      </div>
    </Card>
  );
}

function marksOf(read: ReadFlag, problems: ReadonlyMap<string, string>): Mark[] {
  const marks = read.problems.map((p) => ({ from: p.range[0], to: p.range[1], message: p.message }));
  if (marks.length > 0) return marks;
  for (const [field, message] of problems) {
    const at = placeOf(read.places, field);
    marks.push({ from: at?.[0] ?? 0, to: at?.[1] ?? 1, message });
  }
  return marks.sort((a, b) => a.from - b.from);
}
