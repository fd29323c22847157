import { lazy, Suspense, useCallback, useEffect, useMemo, useState } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { useSession } from "../../api/session";
import { flags } from "../../api/transport";
import { useSettings } from "../../api/use-environment";
import { useLive } from "../../api/use-live";
import { Skeleton } from "../../components/basics";
import { FormProvider, useDraft, type Version } from "../../components/draft";
import { ConflictNote } from "../../components/editing/conflict-note";
import { ReviewDialog } from "../../components/editing/review-dialog";
import { SaveBar } from "../../components/editing/save-bar";
import { useCheck } from "../../components/editing/use-check";
import { KeptInFiles } from "../../components/kept-in-files";
import { LeaveDialog } from "../../components/leave-dialog";
import { Role } from "../../gen/tidegate/access/v1/identity_pb";
import { type Flag, FlagSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import { withoutAsking } from "../../lib/address";
import { explainFlag } from "../../lib/explain-flag";
import { fileSourceOf } from "../../lib/file-sources";
import { FlagHead } from "./flag-head";
import { FlagSide } from "./flag-side";
import { History } from "./history";
import { flagKind, onlySwitched } from "./kind";
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

type Tab = (typeof tabs)[number][0];

function tabOf(search: string): Tab {
  const asked = new URLSearchParams(search).get("tab");
  return tabs.find(([t]) => t === asked)?.[0] ?? "targeting";
}

export function FlagPage({ environment, version }: { environment: string; version: Version<typeof FlagSchema> }) {
  const { key } = version.message;
  const session = useSession();
  const [location, navigate] = useLocation();
  const tab = tabOf(useSearch());
  const where = `tidegate-draft/${environment}/flags/${key}`;
  const state = useDraft(flagKind, where, version, onlySwitched);
  const { draft, dirty, behind } = state;
  const readable = Object.keys(draft.texts).length === 0;
  const check = useCheck(FlagSchema, environment, draft.mine, asApplied, dirty && readable);
  const [reviewing, setReviewing] = useState(false);
  const settings = useSettings(environment).data?.settings;
  const maySwitch = session.may(settings?.protected ? Role.OPERATOR : Role.EDITOR, environment, key);
  const files = fileSourceOf(settings, key);
  const mayWrite = maySwitch && !files;
  const summary = useLive((l) => l.flags.get(key));
  const activity = useLive((l) => l.activities.get(key));

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
    const { flag } = await flags.updateFlag({
      environment,
      flag: draft.mine,
      baseRevision: draft.revision,
      reason,
      requestId,
    });
    return flag?.flag && { message: flag.flag, revision: flag.revision };
  }
  const review = useCallback(() => setReviewing(true), []);

  const savable = dirty && readable && mayWrite && !behind;
  useEffect(() => {
    if (!savable) return;
    const onKey = (e: KeyboardEvent) => {
      if (e.key !== "s" || !(e.metaKey || e.ctrlKey)) return;
      e.preventDefault();
      setReviewing(true);
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [savable]);

  return (
    <FormProvider value={form}>
      <div className="page flag-page">
        <FlagHead
          environment={environment}
          flag={draft.mine}
          saved={version.message}
          summary={summary}
          activity={activity}
          dirty={dirty}
          maySwitch={maySwitch}
        />
        {files && <KeptInFiles source={files} what="flag" killSwitch />}
        <nav className="tabs" aria-label={`Parts of ${key}`}>
          {tabs.map(([t, name]) => (
            <Link
              key={t}
              href={`/${environment}/flags/${key}${t === "targeting" ? "" : `?tab=${t}`}`}
              aria-current={t === tab ? "page" : undefined}
            >
              {name}
            </Link>
          ))}
        </nav>
        {behind && (
          <ConflictNote
            kind={flagKind}
            what="flag"
            environment={environment}
            state={state}
            latest={version}
            newest={() => flags.listFlagHistory({ environment, flagKey: key, pageSize: 20 })}
          />
        )}
        <div className="with-side">
          <div className="stack">
            {tab === "targeting" && (
              <Targeting environment={environment} flag={draft.mine} edit={state.edit} summary={summary} />
            )}
            {tab === "variants" && <Variants flag={draft.mine} saved={version.message} edit={state.edit} />}
            {tab === "try" && (
              <TryIt environment={environment} saved={version} draft={dirty && readable ? draft.mine : undefined} />
            )}
            {tab === "history" && (
              <History environment={environment} version={version} mayWrite={mayWrite} dirty={dirty} />
            )}
            {tab === "settings" && (
              <Settings
                environment={environment}
                flag={draft.mine}
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
                <Raw flag={draft.mine} edit={state.edit} checking={dirty && !check.current} />
              </Suspense>
            )}
          </div>
          <FlagSide environment={environment} flag={draft.mine} summary={summary} activity={activity} />
        </div>
        {dirty && <SaveBar state={state} check={check} mayWrite={mayWrite} review={review} />}
        {reviewing && dirty && (
          <ReviewDialog
            environment={environment}
            what={key}
            sentence={explainFlag(draft.mine)}
            state={state}
            check={check}
            write={write}
            proposal={() => ({ flags: [{ flag: draft.mine, baseRevision: draft.revision }] })}
            onClose={() => setReviewing(false)}
          />
        )}
        {dirty && <LeaveDialog what={key} stay={location} discard={state.discard} />}
      </div>
    </FormProvider>
  );
}

const asApplied = (flag: Flag) => ({ flags: [{ flag }] });
const none: ReadonlyMap<string, string> = new Map();
