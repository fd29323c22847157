import { X } from "lucide-react";
import { type ChangeEvent, type ReactNode, useId, useState } from "react";
import { suggest } from "../lib/suggest";

// Whether a suggestion was picked from the list, and not typed: that may go on.
export function isPicked(e: ChangeEvent<HTMLInputElement>): boolean {
  return (e.nativeEvent as InputEvent).inputType === "insertReplacementText";
}

// A list of short values: typed one after the other, or pasted, a line or a comma between them.
export function Chips({
  id,
  values,
  add,
  remove,
  placeholder = "Type, then Enter",
  label,
  disabled,
  single,
  whole,
  suggestions,
  problem,
  ...aria
}: {
  id?: string;
  values: string[];
  // Returns what is wrong with what was typed, and leaves it there.
  add: (texts: string[]) => string | undefined;
  remove: (index: number) => void;
  placeholder?: string;
  label: string;
  disabled?: boolean;
  // There is room for one only.
  single?: boolean;
  // A comma is part of a value: patterns have some.
  whole?: boolean;
  suggestions?: string[];
  problem?: ReactNode;
  "aria-describedby"?: string;
}) {
  const [text, setText] = useState("");
  const [wrong, setWrong] = useState<string>();

  const between = whole ? /\n/ : /[\n,\t]/;

  function commit(typed: string) {
    const parts = (single ? [typed] : typed.split(between)).map((t) => t.trim()).filter(Boolean);
    if (parts.length === 0) return;
    const problem = add(parts);
    setWrong(problem);
    if (!problem) setText("");
  }
  const full = single && values.length > 0;
  const options = useId();
  return (
    <div className="stack tight">
      <div className={`chips input ${wrong || problem ? "wrong" : ""}`}>
        {values.map((v, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: values may be there twice
          <span className="chip" key={i}>
            <span className="truncate" title={v}>
              {v === "" ? "(empty)" : v}
            </span>
            {!disabled && (
              <button type="button" aria-label={`Remove ${v}`} onClick={() => remove(i)}>
                <X size={12} aria-hidden />
              </button>
            )}
          </span>
        ))}
        {!disabled && !full && (
          <input
            id={id}
            aria-label={id ? undefined : label}
            aria-invalid={wrong || problem ? true : undefined}
            list={suggestions ? options : undefined}
            value={text}
            placeholder={values.length === 0 ? placeholder : ""}
            autoComplete="off"
            spellCheck={false}
            onChange={(e) => {
              setWrong(undefined);
              const typed = e.target.value;
              if (isPicked(e)) commit(typed);
              else setText(typed);
            }}
            onBlur={() => commit(text)}
            onPaste={(e) => {
              const pasted = e.clipboardData.getData("text");
              if (single || !between.test(pasted)) return;
              e.preventDefault();
              commit(text + pasted);
            }}
            onKeyDown={(e) => {
              if (e.key === "Enter" || (e.key === "," && !single && !whole)) {
                e.preventDefault();
                commit(text);
              }
              if (e.key === "Backspace" && text === "" && values.length > 0) remove(values.length - 1);
            }}
            {...aria}
          />
        )}
        {suggestions && (
          <datalist id={options}>
            {suggest(
              suggestions.filter((s) => !values.includes(s)),
              text,
            ).map((s) => (
              <option key={s} value={s} />
            ))}
          </datalist>
        )}
      </div>
      {(wrong || problem) && <span className="problem">{wrong ?? problem}</span>}
    </div>
  );
}
