import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { useMemo } from "react";
import { useSession } from "../../api/session";
import { useSettings } from "../../api/use-environment";
import { Role } from "../../gen/tidegate/access/v1/identity_pb";
import type { Kind } from "../../lib/draft";
import { fileSourceOf } from "../../lib/file-sources";
import { type DraftState, type Form, useDraft, type Version } from "../draft";
import { type Check, useCheck } from "./use-check";

// What an editor is of: a flag, a segment.
export type Edited<S extends DescMessage> = {
  kind: Kind<S>;
  // "flag", and the like.
  what: string;
  // Where the page of one is, below its environment: "flags".
  folder: string;
  asApplied: Parameters<typeof useCheck<S>>[3];
  // What people call a field, by its path.
  nameOf: Parameters<typeof useCheck<S>>[4];
  // Changes of others that cannot be in the way of a draft.
  quiet: (before: MessageShape<S>, after: MessageShape<S>) => boolean;
};

export type Editor<S extends DescMessage> = {
  of: Edited<S>;
  environment: string;
  key: string;
  latest: Version<S>;
  state: DraftState<S>;
  check: Check;
  form: Form;
  // All that was typed can be read.
  readable: boolean;
  // The file source that keeps it.
  files: ReturnType<typeof fileSourceOf>;
  // May change it at all; may change it here, where files do not keep it.
  maySwitch: boolean;
  mayWrite: boolean;
};

// The draft of one thing, what the server says of it, and who may save it.
export function useEditor<S extends DescMessage>(
  of: Edited<S>,
  environment: string,
  key: string,
  latest: Version<S>,
): Editor<S> {
  const session = useSession();
  const state = useDraft(of.kind, `tidegate-draft/${environment}/${of.folder}/${key}`, latest, of.quiet);
  const { draft, dirty, setText, moveTexts } = state;
  const readable = Object.keys(draft.texts).length === 0;
  const checked = dirty && readable;
  const check = useCheck(of.kind.schema, environment, draft.mine, of.asApplied, of.nameOf, checked);
  const settings = useSettings(environment).data?.settings;
  const files = fileSourceOf(settings, key);
  const maySwitch = session.may(settings?.protected ? Role.OPERATOR : Role.EDITOR, environment, key);
  const mayWrite = maySwitch && !files;
  const problems = checked ? check.problems : none;
  const form = useMemo(
    () => ({ disabled: !mayWrite, texts: draft.texts, setText, moveTexts, problems }),
    [mayWrite, draft.texts, setText, moveTexts, problems],
  );
  return { of, environment, key, latest, state, check, form, readable, files, maySwitch, mayWrite };
}

const none: ReadonlyMap<string, string> = new Map();
