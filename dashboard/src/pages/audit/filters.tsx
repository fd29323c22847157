import { Search, SlidersHorizontal, X } from "lucide-react";
import { type ReactNode, useEffect, useId, useState } from "react";
import { Button, Input, Select } from "../../components/basics";
import { Action, ResourceKind } from "../../gen/tidegate/control/v1/audit_pb";
import { actionName, kindName } from "../../lib/entry-words";
import { type AuditQuery, filtersSet, noQuery } from "./filter";

const numbers = (names: object) => Object.values(names).filter((v): v is number => typeof v === "number" && v > 0);

const kinds = numbers(ResourceKind) as ResourceKind[];
const actions = numbers(Action) as Action[];
// Kinds that are in the trail of an environment.
const elsewhere = new Set<number>([ResourceKind.EPOCH, ResourceKind.IDENTITY]);

export function Filters({
  query,
  people,
  ask,
}: {
  query: AuditQuery;
  // Names that were seen, to choose from.
  people: string[];
  ask: (change: Partial<AuditQuery>) => void;
}) {
  const names = useId();
  const set = filtersSet(query);
  // On narrow screens all but the first are behind a button, unless one of them is set.
  const [more, setMore] = useState(set > (query.text ? 1 : 0));
  return (
    <search className={`audit-filters ${more ? "" : "folded"}`}>
      <Labeled label="In the reason" wide>
        {(id) => (
          <span className="search">
            <Search size={15} aria-hidden />
            <Typed id={id} type="search" value={query.text} commit={(text) => ask({ text })} placeholder="Any words" />
          </span>
        )}
      </Labeled>
      <Labeled label="Who">
        {(id) => (
          <>
            <Typed id={id} list={names} value={query.who} commit={(who) => ask({ who })} placeholder="Anybody" />
            <datalist id={names}>
              {people.map((p) => (
                <option key={p} value={p} />
              ))}
            </datalist>
          </>
        )}
      </Labeled>
      <Labeled label="What">
        {(id) => (
          <Select id={id} value={query.kind} onChange={(e) => ask({ kind: Number(e.target.value) })}>
            <option value={0}>All but keys</option>
            {kinds
              .filter((k) => query.trail !== "" || !elsewhere.has(k))
              .map((k) => (
                <option key={k} value={k}>
                  {kindName(k)}
                </option>
              ))}
          </Select>
        )}
      </Labeled>
      <Labeled label="Its key">
        {(id) => <Typed id={id} value={query.key} commit={(key) => ask({ key })} placeholder="Any" />}
      </Labeled>
      <Labeled label="How">
        {(id) => (
          <Select id={id} value={query.action} onChange={(e) => ask({ action: Number(e.target.value) })}>
            <option value={0}>Any change</option>
            {actions.map((a) => (
              <option key={a} value={a}>
                {actionName(a)}
              </option>
            ))}
          </Select>
        )}
      </Labeled>
      <Labeled label="From">
        {(id) => (
          <Input id={id} type="datetime-local" value={query.since} onChange={(e) => ask({ since: e.target.value })} />
        )}
      </Labeled>
      <Labeled label="Until">
        {(id) => (
          <Input id={id} type="datetime-local" value={query.until} onChange={(e) => ask({ until: e.target.value })} />
        )}
      </Labeled>
      <Labeled label="Request">
        {(id) => <Typed id={id} value={query.request} commit={(request) => ask({ request })} placeholder="Any" />}
      </Labeled>
      <Button className="unfold" aria-expanded={more} onClick={() => setMore(!more)}>
        <SlidersHorizontal size={15} aria-hidden /> {more ? "Fewer filters" : "More filters"}
      </Button>
      <div className="clear">
        <Button kind="quiet" disabled={set === 0} onClick={() => ask({ ...noQuery, trail: query.trail })}>
          <X size={15} aria-hidden /> Clear
        </Button>
      </div>
    </search>
  );
}

function Labeled({ label, wide, children }: { label: string; wide?: boolean; children: (id: string) => ReactNode }) {
  const id = useId();
  return (
    <div className={wide ? "field wide" : "field"}>
      <label className="label" htmlFor={id}>
        {label}
      </label>
      {children(id)}
    </div>
  );
}

// How long nobody types before what was typed is asked for.
const settle = 250;

// A field whose text is asked for when one stops typing, presses Enter or leaves it.
function Typed({
  value,
  commit,
  ...rest
}: Omit<Parameters<typeof Input>[0], "value" | "onChange"> & { value: string; commit: (text: string) => void }) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (text === value) return;
    const timer = setTimeout(() => commit(text), settle);
    return () => clearTimeout(timer);
  }, [text, value, commit]);
  return (
    <Input
      autoComplete="off"
      spellCheck={false}
      {...rest}
      value={text}
      onChange={(e) => setText(e.target.value)}
      onBlur={() => text !== value && commit(text)}
      onKeyDown={(e) => e.key === "Enter" && text !== value && commit(text)}
    />
  );
}
