import { useMemo } from "react";
import { Link, useLocation } from "wouter";
import { segments } from "../../api/transport";
import { useLive } from "../../api/use-live";
import { Card, CopyButton } from "../../components/basics";
import type { Version } from "../../components/draft";
import { EditorPage, useTab } from "../../components/editing/editor-page";
import { type Edited, useEditor } from "../../components/editing/use-editor";
import { PageHead } from "../../components/page";
import { PendingRequests } from "../../components/pending-requests";
import { Words } from "../../components/words";
import type { Segment, SegmentSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import { withoutAsking } from "../../lib/address";
import { fieldWords } from "../../lib/field-words";
import { KeyList } from "./key-list";
import { segmentKind } from "./kind";
import { SegmentAbout } from "./segment-about";
import { SegmentHistory } from "./segment-history";
import { SegmentRules } from "./segment-rules";
import { explainSegment } from "./words";

const tabs = [
  ["members", "Members"],
  ["history", "History"],
  ["settings", "Settings"],
] as const;

const editedSegment: Edited<typeof SegmentSchema> = {
  kind: segmentKind,
  what: "segment",
  folder: "segments",
  asApplied: (segment) => ({ segments: [{ segment }] }),
  nameOf: fieldWords,
  quiet: () => false,
};

export function SegmentPage({ environment, version }: { environment: string; version: Version<typeof SegmentSchema> }) {
  const { key } = version.message;
  const [, navigate] = useLocation();
  const tab = useTab(tabs);
  const editor = useEditor(editedSegment, environment, key, version);
  const { state, mayWrite } = editor;
  const { draft } = state;
  const segment = draft.mine;

  async function write(reason: string, requestId: string) {
    const request = { environment, segment, baseRevision: draft.revision, reason, requestId };
    const { segment: written } = await segments.updateSegment(request);
    return written?.segment && { message: written.segment, revision: written.revision };
  }

  return (
    <EditorPage
      editor={editor}
      head={<SegmentHead environment={environment} segment={segment} dirty={state.dirty} />}
      tabs={tabs}
      tab={tab}
      side={<UsedBy environment={environment} segmentKey={key} />}
      sentence={explainSegment(segment)}
      write={write}
      proposal={() => ({ segments: [{ segment, baseRevision: draft.revision }] })}
      newest={() => segments.listSegmentHistory({ environment, segmentKey: key, pageSize: 20 })}
    >
      {tab === "members" && <Members segment={segment} saved={version.message} edit={state.edit} />}
      {tab === "history" && <SegmentHistory environment={environment} version={version} mayWrite={mayWrite} />}
      {tab === "settings" && (
        <SegmentAbout
          environment={environment}
          segment={segment}
          version={version}
          edit={state.edit}
          mayWrite={mayWrite}
          onDeleted={() => {
            state.discard();
            withoutAsking(() => navigate(`/${environment}/segments`));
          }}
        />
      )}
    </EditorPage>
  );
}

function SegmentHead({ environment, segment, dirty }: { environment: string; segment: Segment; dirty: boolean }) {
  const { key } = segment;
  return (
    <>
      <PageHead
        tab={`${key} · ${environment}`}
        above={
          <div className="small">
            <Link href={`/${environment}/segments`}>Segments</Link>
          </div>
        }
        title={<span className="key">{key}</span>}
        beside={<CopyButton text={key} label="Copy the key" />}
      >
        <p>{segment.description || <span className="faint">No description: say in Settings who they are.</span>}</p>
      </PageHead>
      <p className="serves">
        <Words words={explainSegment(segment)} />
        {dirty && <span className="soft"> (as you edit it: not saved yet)</span>}
      </p>
      <PendingRequests environment={environment} names={(r) => r.segmentKeys.includes(key)} />
    </>
  );
}

function Members({
  segment,
  saved,
  edit,
}: {
  segment: Segment;
  saved: Segment;
  edit: (how: (s: Segment) => void) => void;
}) {
  const attribute = segment.keyAttribute || "targeting key";
  return (
    <>
      <KeyList
        title="Belong"
        hint={`By their ${attribute}, whatever the rules say. Looked up at once, however many they are.`}
        keys={segment.included}
        saved={saved.included}
        change={(how) =>
          edit((s) => {
            s.included = how(s.included);
          })
        }
      />
      <SegmentRules segment={segment} edit={edit} />
      <KeyList
        title="Do not belong"
        hint={`By their ${attribute}, whatever the rules say; who is in the list above belongs all the same.`}
        keys={segment.excluded}
        saved={saved.excluded}
        change={(how) =>
          edit((s) => {
            s.excluded = how(s.excluded);
          })
        }
      />
    </>
  );
}

function UsedBy({ environment, segmentKey }: { environment: string; segmentKey: string }) {
  const flags = useLive((l) => l.flags);
  const users = useMemo(
    () => [...flags.values()].filter((f) => f.segments.includes(segmentKey)).sort((a, b) => (a.key < b.key ? -1 : 1)),
    [flags, segmentKey],
  );
  return (
    <aside className="side" aria-label="Flags that use it">
      <Card title="Where it is used">
        {users.length === 0 ? (
          <p className="soft small">No flag names it: a change of it serves nothing differently.</p>
        ) : (
          <ul className="stack tight">
            {users.map((f) => (
              <li key={f.key} className="row tight">
                <Link className="mono" href={`/${environment}/flags/${f.key}`}>
                  {f.key}
                </Link>
                <span className="soft small">{f.enabled ? "on" : "off"}</span>
              </li>
            ))}
          </ul>
        )}
      </Card>
    </aside>
  );
}
