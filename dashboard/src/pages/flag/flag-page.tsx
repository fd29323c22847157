import { lazy, Suspense, useState } from "react";
import { useLocation } from "wouter";
import { flags } from "../../api/transport";
import { useLive } from "../../api/use-live";
import { Skeleton } from "../../components/basics";
import type { Version } from "../../components/draft";
import { EditorPage, useTab } from "../../components/editing/editor-page";
import { type Edited, useEditor } from "../../components/editing/use-editor";
import { FlagKind, type FlagSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import { withoutAsking } from "../../lib/address";
import { explainFlag } from "../../lib/explain-flag";
import { fieldWords } from "../../lib/field-words";
import { FlagHead } from "./flag-head";
import { FlagSide } from "./flag-side";
import { History } from "./history";
import { flagKind, onlySwitched } from "./kind";
import type { Typed } from "./raw";
import { Settings } from "./settings";
import { Targeting } from "./targeting";
import { TryIt } from "./try-it";
import { Variants } from "./variants";

// With its reader of YAML, which nobody else needs.
const Raw = lazy(() => import("./raw").then((m) => ({ default: m.Raw })));

const tabs = [
  ["targeting", "Targeting"],
  ["variants", "Variants"],
  ["try", "Try it"],
  ["history", "History"],
  ["settings", "Settings"],
  ["raw", "Raw"],
] as const;

const editedFlag: Edited<typeof FlagSchema> = {
  kind: flagKind,
  what: "flag",
  folder: "flags",
  asApplied: (flag) => ({ flags: [{ flag }] }),
  nameOf: fieldWords,
  quiet: onlySwitched,
};

export function FlagPage({ environment, version }: { environment: string; version: Version<typeof FlagSchema> }) {
  const { key } = version.message;
  const [, navigate] = useLocation();
  const tab = useTab(tabs);
  const editor = useEditor(editedFlag, environment, key, version);
  const { state, readable, mayWrite } = editor;
  const { draft, dirty } = state;
  const flag = draft.mine;
  const summary = useLive((l) => l.flags.get(key));
  const activity = useLive((l) => l.activities.get(key));
  const [typed, setTyped] = useState<Typed>();

  async function write(reason: string, requestId: string) {
    const request = { environment, flag, baseRevision: draft.revision, reason, requestId };
    const { flag: written } = await flags.updateFlag(request);
    setTyped(undefined); // what is shown from now on is what is kept
    return written?.flag && { message: written.flag, revision: written.revision };
  }
  const head = (
    <FlagHead
      environment={environment}
      flag={flag}
      saved={version.message}
      summary={summary}
      activity={activity}
      dirty={dirty}
      maySwitch={editor.maySwitch}
    />
  );

  return (
    <EditorPage
      editor={editor}
      head={head}
      tabs={tabs}
      tab={tab}
      side={<FlagSide environment={environment} flag={flag} summary={summary} activity={activity} />}
      sentence={explainFlag(flag)}
      write={write}
      proposal={() => ({ flags: [{ flag, baseRevision: draft.revision }] })}
      newest={() => flags.listFlagHistory({ environment, flagKey: key, pageSize: 20 })}
      lost={typed?.comments ? "The comments in the raw text are not kept." : undefined}
      besideFiles={
        version.message.kind === FlagKind.OPERATIONAL
          ? "Rollouts and the switch work here all the same."
          : "Rollouts work here all the same. You can turn it off here; on again only there."
      }
    >
      {tab === "targeting" && <Targeting environment={environment} flag={flag} edit={state.edit} summary={summary} />}
      {tab === "variants" && <Variants flag={flag} saved={version.message} edit={state.edit} />}
      {tab === "try" && (
        <TryIt environment={environment} saved={version} draft={dirty && readable ? flag : undefined} />
      )}
      {tab === "history" && <History environment={environment} version={version} mayWrite={mayWrite} dirty={dirty} />}
      {tab === "settings" && (
        <Settings
          environment={environment}
          flag={flag}
          version={version}
          edit={state.edit}
          activity={activity}
          mayWrite={mayWrite}
          onDeleted={() => {
            state.discard();
            withoutAsking(() => navigate(`/${environment}/flags`));
          }}
        />
      )}
      {tab === "raw" && (
        <Suspense fallback={<Skeleton height={420} />}>
          <Raw
            flag={flag}
            edit={state.edit}
            checking={dirty && !editor.check.current}
            typed={typed}
            setTyped={setTyped}
          />
        </Suspense>
      )}
    </EditorPage>
  );
}
