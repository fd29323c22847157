import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { createContext, useCallback, useContext, useEffect, useMemo, useState } from "react";
import {
  type Draft,
  edited,
  isDirty,
  type Kind,
  load,
  movedTexts,
  onTopOf,
  save,
  startDraft,
  withText,
} from "../lib/draft";
import type { Side } from "../lib/merge";
import { fingerprint } from "../lib/values";

export type Version<S extends DescMessage> = { message: MessageShape<S>; revision: bigint };

export type DraftState<S extends DescMessage> = {
  draft: Draft<S>;
  dirty: boolean;
  // Somebody else wrote a newer version than the one that the draft is based on.
  behind: boolean;
  edit: (how: (m: MessageShape<S>) => void) => void;
  setText: (path: string, text: string | undefined) => void;
  // Texts go with the elements of a list that move.
  moveTexts: (list: string, to: (i: number) => number | undefined) => void;
  discard: () => void;
  // Puts the draft on top of the newest version.
  rebase: (choices?: ReadonlyMap<string, Side>) => void;
  // The server has taken it.
  saved: (version: Version<S>) => void;
};

// One draft of something that is kept on the server. It survives a reload of the tab, and leaving
// the page.
export function useDraft<S extends DescMessage>(
  kind: Kind<S>,
  where: string,
  latest: Version<S>,
  quiet: (before: MessageShape<S>, after: MessageShape<S>) => boolean,
): DraftState<S> {
  const [draft, setDraft] = useState(
    () => load(kind, sessionStorage.getItem(where)) ?? startDraft(kind, latest.message, latest.revision),
  );
  const dirty = useMemo(() => isDirty(kind, draft), [kind, draft]);
  const newer = latest.revision > draft.revision;

  useEffect(() => {
    if (dirty) sessionStorage.setItem(where, save(kind, draft));
    else sessionStorage.removeItem(where);
  }, [kind, where, draft, dirty]);

  // Who has changed nothing sees the newest; so does whoever cannot be in its way.
  useEffect(() => {
    if (!newer) return;
    if (!dirty) setDraft(startDraft(kind, latest.message, latest.revision));
    else if (quiet(draft.base, latest.message))
      setDraft((d) => onTopOf(kind, d, latest.message, latest.revision).draft);
  }, [kind, newer, dirty, latest, draft.base, quiet]);

  const edit = useCallback((how: (m: MessageShape<S>) => void) => setDraft((d) => edited(kind, d, how)), [kind]);
  const setText = useCallback((path: string, text: string | undefined) => setDraft((d) => withText(d, path, text)), []);
  const moveTexts = useCallback(
    (list: string, to: (i: number) => number | undefined) =>
      setDraft((d) => ({ ...d, texts: movedTexts(d.texts, list, to) })),
    [],
  );
  return {
    draft,
    dirty,
    behind: newer && dirty,
    edit,
    setText,
    moveTexts,
    discard: () => setDraft(startDraft(kind, latest.message, latest.revision)),
    rebase: (choices) => setDraft((d) => onTopOf(kind, d, latest.message, latest.revision, choices).draft),
    saved: (version) => setDraft(startDraft(kind, version.message, version.revision)),
  };
}

// What every field of a form may want to know.
export type Form = {
  disabled: boolean;
  texts: Readonly<Record<string, string>>;
  setText: (path: string, text: string | undefined) => void;
  moveTexts: (list: string, to: (i: number) => number | undefined) => void;
  // What is wrong, by the path of the field.
  problems: ReadonlyMap<string, string>;
};

const FormContext = createContext<Form>({
  disabled: true,
  texts: {},
  setText: () => {},
  moveTexts: () => {},
  problems: new Map(),
});

export const FormProvider = FormContext.Provider;

export function useForm(): Form {
  return useContext(FormContext);
}

// What is wrong with a field, or with something in it.
export function useProblem(path: string, inside = false): string | undefined {
  const { problems } = useForm();
  const own = problems.get(path);
  if (own || !inside) return own;
  for (const [p, problem] of problems) if (p.startsWith(`${path}.`) || p.startsWith(`${path}[`)) return problem;
  return undefined;
}

// A field whose text is kept as it was typed for as long as it cannot be read.
export function useTyped<T>(
  path: string,
  shown: string,
  read: (text: string) => { value: T } | { problem: string },
  set: (value: T) => void,
): { text: string; change: (text: string) => void; problem: string | undefined; pending: boolean } {
  const { texts, setText, problems } = useForm();
  const [typed, setTyped] = useState<string>();
  const pending = texts[path];
  // What was typed stays as it was typed ("1.50"), as long as it says what is there.
  const kept = typed !== undefined && fingerprint(read(typed)) === fingerprint(read(shown)) ? typed : shown;
  const result = pending === undefined ? undefined : read(pending);
  // It can be read by now, as something else has changed.
  useEffect(() => {
    if (!result || "problem" in result) return;
    setText(path, undefined);
    set(result.value);
  });
  return {
    text: pending ?? kept,
    // It cannot be read: the draft has what it was before.
    pending: pending !== undefined,
    change: (next) => {
      setTyped(next);
      const r = read(next);
      setText(path, "problem" in r ? next : undefined);
      if (!("problem" in r)) set(r.value);
    },
    problem: (result && "problem" in result ? result.problem : undefined) ?? problems.get(path),
  };
}
