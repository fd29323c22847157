import { useMemo, useState } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { useSession } from "../../api/session";
import { segments } from "../../api/transport";
import { useSettings } from "../../api/use-environment";
import { useLive } from "../../api/use-live";
import { Card, CopyButton } from "../../components/basics";
import { FormProvider, useDraft, type Version } from "../../components/draft";
import { ConflictNote } from "../../components/editing/conflict-note";
import { ReviewDialog } from "../../components/editing/review-dialog";
import { SaveBar } from "../../components/editing/save-bar";
import { useCheck } from "../../components/editing/use-check";
import { KeptInFiles } from "../../components/kept-in-files";
import { LeaveDialog } from "../../components/leave-dialog";
import { PageHead } from "../../components/page";
import { PendingRequests } from "../../components/pending-requests";
import { Words } from "../../components/words";
import { Role } from "../../gen/tidegate/access/v1/identity_pb";
import { type Segment, SegmentSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import { fileSourceOf } from "../../lib/file-sources";
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

export function SegmentPage({ environment, version }: { environment: string; version: Version<typeof SegmentSchema> }) {
  const saved = version.message;
  const { key } = saved;
  const session = useSession();
  const [location, navigate] = useLocation();
  const asked = new URLSearchParams(useSearch()).get("tab");
  const tab = tabs.find(([t]) => t === asked)?.[0] ?? "members";
  const state = useDraft(segmentKind, `tidegate-draft/${environment}/segments/${key}`, version, never);
  const { draft, dirty, behind } = state;
  const readable = Object.keys(draft.texts).length === 0;
  const check = useCheck(SegmentSchema, environment, draft.mine, asApplied, dirty && readable);
  const [reviewing, setReviewing] = useState(false);
  const settings = useSettings(environment).data?.settings;
  const files = fileSourceOf(settings, key);
  const mayWrite = !files && session.may(settings?.protected ? Role.OPERATOR : Role.EDITOR, environment, key);
  const form = useMemo(
    () => ({
      disabled: !mayWrite,
      texts: draft.texts,
      setText: state.setText,
      moveTexts: state.moveTexts,
      problems: dirty && readable ? check.problems : none,
    }),
    [mayWrite, draft.texts, state.setText, state.moveTexts, dirty, readable, check.problems],
  );

  async function write(reason: string, requestId: string) {
    const { segment } = await segments.updateSegment({
      environment,
      segment: draft.mine,
      baseRevision: draft.revision,
      reason,
      requestId,
    });
    return segment?.segment && { message: segment.segment, revision: segment.revision };
  }

  return (
    <FormProvider value={form}>
      <div className="page flag-page">
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
          <p>
            {draft.mine.description || <span className="faint">No description: say in Settings who they are.</span>}
          </p>
        </PageHead>
        <p className="serves">
          <Words words={explainSegment(draft.mine)} />
          {dirty && <span className="soft"> (as you edit it: not saved yet)</span>}
        </p>
        {files && <KeptInFiles source={files} what="segment" />}
        <PendingRequests environment={environment} names={(r) => r.segmentKeys.includes(key)} />
        <nav className="tabs" aria-label={`Parts of ${key}`}>
          {tabs.map(([t, name]) => (
            <Link
              key={t}
              href={`/${environment}/segments/${key}${t === "members" ? "" : `?tab=${t}`}`}
              aria-current={t === tab ? "page" : undefined}
            >
              {name}
            </Link>
          ))}
        </nav>
        {behind && (
          <ConflictNote
            kind={segmentKind}
            what="segment"
            environment={environment}
            state={state}
            latest={version}
            newest={() => segments.listSegmentHistory({ environment, segmentKey: key, pageSize: 20 })}
          />
        )}
        <div className="with-side">
          <div className="stack">
            {tab === "members" && <Members segment={draft.mine} saved={saved} edit={state.edit} />}
            {tab === "history" && <SegmentHistory environment={environment} version={version} mayWrite={mayWrite} />}
            {tab === "settings" && (
              <SegmentAbout
                environment={environment}
                segment={draft.mine}
                version={version}
                edit={state.edit}
                mayWrite={mayWrite}
                onDeleted={() => {
                  state.discard();
                  navigate(`/${environment}/segments`);
                }}
              />
            )}
          </div>
          <UsedBy environment={environment} segmentKey={key} />
        </div>
        {dirty && <SaveBar state={state} check={check} mayWrite={mayWrite} review={() => setReviewing(true)} />}
        {reviewing && dirty && (
          <ReviewDialog
            environment={environment}
            what={key}
            sentence={explainSegment(draft.mine)}
            state={state}
            check={check}
            write={write}
            proposal={() => ({ segments: [{ segment: draft.mine, baseRevision: draft.revision }] })}
            onClose={() => setReviewing(false)}
          />
        )}
        {dirty && <LeaveDialog what={key} stay={location} discard={state.discard} />}
      </div>
    </FormProvider>
  );
}

const none: ReadonlyMap<string, string> = new Map();
const never = () => false;
const asApplied = (segment: Segment) => ({ segments: [{ segment }] });

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
