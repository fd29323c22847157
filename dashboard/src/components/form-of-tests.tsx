import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { fireEvent, render, screen } from "@testing-library/react";
import { type ReactNode, useState } from "react";
import { type Flag, FlagSchema } from "../gen/tidegate/flag/v1/flag_pb";
import { type Draft, edited, type Kind, startDraft, withText } from "../lib/draft";
import { FormProvider } from "./draft";

const kind: Kind<typeof FlagSchema> = { schema: FlagSchema, shape: { kind: "whole" } };

type Edit = (how: (f: Flag) => void) => void;

// A part of a flag's form, without the page; `draft` is what it edits.
export function showForm(flag: MessageInitShape<typeof FlagSchema>, part: (flag: Flag, edit: Edit) => ReactNode) {
  const shown = { draft: startDraft(kind, create(FlagSchema, flag), 1n) };
  function Form() {
    const [draft, setDraft] = useState<Draft<typeof FlagSchema>>(shown.draft);
    shown.draft = draft;
    return (
      <FormProvider
        value={{
          disabled: false,
          texts: draft.texts,
          setText: (path, text) => setDraft((d) => withText(d, path, text)),
          moveTexts: () => {},
          problems: new Map(),
        }}
      >
        {part(draft.mine, (how) => setDraft((d) => edited(kind, d, how)))}
      </FormProvider>
    );
  }
  render(<Form />);
  return shown;
}

const input = (label: string, at: number) => screen.getAllByLabelText<HTMLInputElement>(label)[at] as HTMLInputElement;

export const textOf = (label: string, at = 0) => input(label, at).value;

export function enter(label: string, text: string, at = 0) {
  fireEvent.change(input(label, at), { target: { value: text } });
}

// As keys are pressed: one after the other, at the end.
export function type(label: string, keys: string, at = 0) {
  for (const key of keys) enter(label, textOf(label, at) + key, at);
}
