import { Plus, Save, X } from "lucide-react";
import { useState } from "react";
import { Button, Field, IconButton, Input, TextArea } from "../../components/basics";
import {
  type Attribute,
  attributesOf,
  type Context,
  contextText,
  forgetContext,
  readContext,
  rememberContext,
  rememberedContexts,
  rowsOf,
} from "../../lib/context";

// Who asks: a key and attributes, as rows or as JSON; those that are asked about often have names.
export function ContextForm({
  context,
  setContext,
  region,
  setRegion,
}: {
  context: Context;
  setContext: (c: Context) => void;
  region: string;
  setRegion: (r: string) => void;
}) {
  const [rows, setRows] = useState<Attribute[]>(() => withBlank(rowsOf(context.attributes)));
  const [json, setJson] = useState<string>();
  const [examples, setExamples] = useState(rememberedContexts);
  const [name, setName] = useState("");
  const read = json === undefined ? undefined : readContext(json);

  function setAll(next: Attribute[]) {
    setRows(withBlank(next));
    setContext({ ...context, attributes: attributesOf(next) });
  }
  function take(c: Context) {
    setRows(withBlank(rowsOf(c.attributes)));
    setJson(json === undefined ? undefined : contextText(c));
    setContext(c);
  }

  return (
    <div className="stack">
      {examples.length > 0 && (
        <div className="row" role="group" aria-label="Examples">
          {examples.map((e) => (
            <span key={e.name} className="chip example">
              <button type="button" className="take" onClick={() => take(e)}>
                {e.name}
              </button>
              <button type="button" aria-label={`Forget ${e.name}`} onClick={() => setExamples(forgetContext(e.name))}>
                <X size={12} aria-hidden />
              </button>
            </span>
          ))}
        </div>
      )}
      {json === undefined ? (
        <>
          <div className="pair">
            <Field label="Targeting key" hint="Who or what is asked about: splits hash it.">
              {(ids) => (
                <Input
                  {...ids}
                  className="mono"
                  spellCheck={false}
                  value={context.targetingKey}
                  onChange={(e) => setContext({ ...context, targetingKey: e.target.value })}
                />
              )}
            </Field>
            <Field label="Region of the relay" hint="What $tidegate.region is; empty: not known.">
              {(ids) => <Input {...ids} className="mono" value={region} onChange={(e) => setRegion(e.target.value)} />}
            </Field>
          </div>
          <div className="stack tight" role="group" aria-label="Attributes">
            <span className="label">Attributes</span>
            {rows.map((r, i) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: names are edited
              <div className="attribute-row" key={i}>
                <Input
                  className="mono"
                  aria-label={`Name of attribute ${i + 1}`}
                  placeholder="country"
                  spellCheck={false}
                  value={r.name}
                  onChange={(e) => setAll(rows.with(i, { ...r, name: e.target.value }))}
                />
                <Input
                  className="mono"
                  aria-label={`Value of attribute ${i + 1}`}
                  placeholder="CA, 42, true, [1, 2]"
                  spellCheck={false}
                  value={r.text}
                  onChange={(e) => setAll(rows.with(i, { ...r, text: e.target.value }))}
                />
                <IconButton
                  icon={X}
                  small
                  label={`Remove attribute ${i + 1}`}
                  onClick={() => setAll(rows.toSpliced(i, 1))}
                />
              </div>
            ))}
            <div>
              <Button small kind="quiet" onClick={() => setRows([...rows, { name: "", text: "" }])}>
                <Plus size={14} aria-hidden /> Add an attribute
              </Button>
            </div>
          </div>
        </>
      ) : (
        <Field
          label="Context as JSON"
          hint="With targetingKey inside. The last that could be read is evaluated."
          problem={read && "problem" in read ? read.problem : undefined}
        >
          {(ids) => (
            <TextArea
              {...ids}
              className="mono"
              spellCheck={false}
              rows={Math.min(16, Math.max(6, json.split("\n").length))}
              value={json}
              onChange={(e) => {
                setJson(e.target.value);
                const r = readContext(e.target.value);
                if ("problem" in r) return;
                setRows(withBlank(rowsOf(r.context.attributes)));
                setContext({ ...context, ...r.context });
              }}
            />
          )}
        </Field>
      )}
      <div className="row">
        <Button small onClick={() => setJson(json === undefined ? contextText(context) : undefined)}>
          {json === undefined ? "As JSON" : "As rows"}
        </Button>
        <Input
          aria-label="Name of the example"
          placeholder="Remember as…"
          style={{ maxWidth: 180 }}
          value={name}
          onChange={(e) => setName(e.target.value)}
        />
        <Button
          small
          disabled={name.trim() === ""}
          onClick={() => {
            setExamples(rememberContext({ ...context, name: name.trim() }));
            setName("");
          }}
        >
          <Save size={14} aria-hidden /> Remember
        </Button>
      </div>
    </div>
  );
}

function withBlank(rows: Attribute[]): Attribute[] {
  return rows.length === 0 ? [{ name: "", text: "" }] : rows;
}
