import { Search, X } from "lucide-react";
import { useDeferredValue, useMemo, useState } from "react";
import { Button, Card, IconButton, Input, TextArea } from "../../components/basics";
import { useForm } from "../../components/draft";
import { plural } from "../../lib/numbers";
import { readKeys } from "./words";

const shown = 100;

const matches = (key: string, asked: string) => key.toLowerCase().includes(asked);

// A list of keys, which may be of thousands: looked through, added to by pasting.
export function KeyList({
  title,
  hint,
  keys,
  saved,
  change,
}: {
  title: string;
  hint: string;
  keys: string[];
  // What is on the server: the others are new.
  saved: string[];
  change: (how: (keys: string[]) => string[]) => void;
}) {
  const { disabled } = useForm();
  const [search, setSearch] = useState("");
  const [pasted, setPasted] = useState("");
  const asked = useDeferredValue(search.trim().toLowerCase());
  const found = useMemo(() => keys.filter((k) => matches(k, asked)), [keys, asked]);
  const was = useMemo(() => new Set(saved), [saved]);
  const ready = useMemo(() => readKeys(pasted), [pasted]);
  const news = useMemo(() => {
    const there = new Set(keys);
    return ready.filter((k) => !there.has(k));
  }, [keys, ready]);

  return (
    <Card title={title} actions={<span className="soft small num">{plural(keys.length, "key")}</span>}>
      <div className="stack tight">
        <p className="soft small">{hint}</p>
        {keys.length > 8 && (
          <div className="segment-search">
            <Search size={15} aria-hidden />
            <Input
              type="search"
              aria-label={`Search in ${title}`}
              placeholder="Is somebody in it?"
              value={search}
              onChange={(e) => setSearch(e.target.value)}
            />
          </div>
        )}
        {keys.length > 0 && (
          <ul className="key-list" aria-label={title}>
            {found.slice(0, shown).map((k) => (
              <li key={k} className={`chip ${was.has(k) ? "" : "new"}`}>
                <span className="truncate" title={was.has(k) ? k : `${k}: not saved yet`}>
                  {k}
                </span>
                {!disabled && (
                  <IconButton
                    icon={X}
                    small
                    label={`Remove ${k}`}
                    onClick={() => change((all) => all.filter((x) => x !== k))}
                  />
                )}
              </li>
            ))}
          </ul>
        )}
        {keys.length > 0 && found.length === 0 && <p className="soft">Nobody of that name is in it.</p>}
        {found.length > shown && (
          <p className="soft small num">
            {shown} of {plural(found.length, "key")} are shown: search for the others.
          </p>
        )}
        {!disabled && (
          <>
            <TextArea
              aria-label={`Add keys to ${title}`}
              className="mono"
              rows={2}
              spellCheck={false}
              placeholder="Paste keys: one a line, or with commas between"
              value={pasted}
              onChange={(e) => setPasted(e.target.value)}
            />
            <div className="row">
              <Button
                small
                disabled={news.length === 0}
                onClick={() => {
                  change((all) => [...all, ...news]);
                  setPasted("");
                }}
              >
                {ready.length === 0
                  ? "Add"
                  : news.length === ready.length
                    ? `Add ${plural(news.length, "key")}`
                    : `Add ${plural(news.length, "key")}: ${ready.length - news.length} are in it already`}
              </Button>
              {keys.length > 0 && (
                <Button small kind="quiet" onClick={() => change((all) => all.filter((k) => !matches(k, asked)))}>
                  {asked ? `Remove the ${plural(found.length, "key")} found` : "Remove all"}
                </Button>
              )}
            </div>
          </>
        )}
      </div>
    </Card>
  );
}
