import "../../styles/editor.css";
import type { DescMessage } from "@bufbuild/protobuf";
import { type ReactNode, useEffect, useState } from "react";
import { Link, useLocation, useSearch } from "wouter";
import type { AuditEntry } from "../../gen/tidegate/control/v1/audit_pb";
import type { Words } from "../../lib/words";
import { FormProvider, type Version } from "../draft";
import { KeptInFiles } from "../kept-in-files";
import { LeaveDialog } from "../leave-dialog";
import type { Proposal } from "../proposal";
import { ConflictNote } from "./conflict-note";
import { ReviewDialog } from "./review-dialog";
import { SaveBar } from "./save-bar";
import type { Editor } from "./use-editor";

// The parts of the page, by their names in the address; the first is shown where it names none.
export type Tabs<T extends string> = readonly (readonly [T, string])[];

export function useTab<T extends string>(tabs: Tabs<T>): T {
  const asked = new URLSearchParams(useSearch()).get("tab");
  const [tab] = tabs.find(([t]) => t === asked) ?? (tabs[0] as readonly [T, string]);
  return tab;
}

// The page of one thing that is edited: its head and parts, and all that a draft needs. What others
// saved meanwhile, the bar that says what is not saved, the dialogs before saving and leaving.
export function EditorPage<S extends DescMessage, T extends string>({
  editor,
  head,
  tabs,
  tab,
  side,
  sentence,
  write,
  proposal,
  newest,
  besideFiles,
  lost,
  children,
}: {
  editor: Editor<S>;
  head: ReactNode;
  tabs: Tabs<T>;
  tab: T;
  side: ReactNode;
  // What the draft will do.
  sentence: Words;
  write: (reason: string, requestId: string) => Promise<Version<S> | undefined>;
  proposal: () => Proposal;
  // Its newest changes.
  newest: () => Promise<{ entries: AuditEntry[] }>;
  // What can be done here though files keep it.
  besideFiles?: string;
  // What was typed, and will not be kept.
  lost?: string;
  children: ReactNode;
}) {
  const { of, environment, key, state, check, readable, mayWrite } = editor;
  const { dirty, behind } = state;
  const [location] = useLocation();
  const [reviewing, setReviewing] = useState(false);
  useSaveKey(dirty && readable && mayWrite && !behind, () => setReviewing(true));

  return (
    <FormProvider value={editor.form}>
      <div className="page editor-page">
        {head}
        {editor.files && (
          <KeptInFiles source={editor.files} what={of.what}>
            Edit it there. {besideFiles}
          </KeptInFiles>
        )}
        <nav className="tabs" aria-label={`Parts of ${key}`}>
          {tabs.map(([t, name], i) => (
            <Link
              key={t}
              href={`/${environment}/${of.folder}/${key}${i === 0 ? "" : `?tab=${t}`}`}
              aria-current={t === tab ? "page" : undefined}
            >
              {name}
            </Link>
          ))}
        </nav>
        {behind && (
          <ConflictNote
            kind={of.kind}
            what={of.what}
            environment={environment}
            state={state}
            latest={editor.latest}
            newest={newest}
          />
        )}
        <div className="with-side">
          <div className="stack">{children}</div>
          {side}
        </div>
        {dirty && <SaveBar state={state} check={check} mayWrite={mayWrite} review={() => setReviewing(true)} />}
        {reviewing && dirty && (
          <ReviewDialog
            environment={environment}
            what={key}
            sentence={sentence}
            state={state}
            check={check}
            lost={lost}
            write={write}
            proposal={proposal}
            onClose={() => setReviewing(false)}
          />
        )}
        {dirty && <LeaveDialog what={key} stay={location} discard={state.discard} />}
      </div>
    </FormProvider>
  );
}

// Ctrl+S, or what a Mac has for it.
function useSaveKey(savable: boolean, save: () => void) {
  useEffect(() => {
    if (!savable) return;
    const onKey = (e: KeyboardEvent) => {
      if (e.key !== "s" || !(e.metaKey || e.ctrlKey)) return;
      e.preventDefault();
      save();
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  });
}
