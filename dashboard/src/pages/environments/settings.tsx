import "./environments.css";
import "../../components/access/access.css";
import "../../styles/rules.css";
import "../../components/editing/editing.css";
import { create } from "@bufbuild/protobuf";
import { useQueryClient } from "@tanstack/react-query";
import { History, PencilLine } from "lucide-react";
import { useMemo, useState } from "react";
import { Link, useLocation } from "wouter";
import { problemOf } from "../../api/errors";
import { useSession } from "../../api/session";
import { environments } from "../../api/transport";
import { useEnvironment, useSettings } from "../../api/use-environment";
import { AccessHistory } from "../../components/access/history";
import { Button, Card, Loading, Note } from "../../components/basics";
import { ChangeDialog } from "../../components/change-dialog";
import { Changes } from "../../components/changes";
import { FormProvider, useDraft, type Version } from "../../components/draft";
import { ConflictNote } from "../../components/editing/conflict-note";
import { differences } from "../../components/editing/differences";
import { LeaveDialog } from "../../components/leave-dialog";
import { PageHead } from "../../components/page";
import { ProblemNote } from "../../components/problem";
import { Role } from "../../gen/tidegate/access/v1/identity_pb";
import { type EnvironmentSettings, EnvironmentSettingsSchema } from "../../gen/tidegate/control/v1/environment_pb";
import { bySomebody } from "../../lib/freeze-words";
import { plural } from "../../lib/numbers";
import { Approval, FileSources, Order, Policy, Protection } from "./forms";
import { settingsKind } from "./kind";
import { type Refused, standing } from "./problems";
import { RestoreDialog } from "./restore-dialog";
import { Windows } from "./windows";

export default function Settings() {
  const environment = useEnvironment();
  const query = useSettings(environment);
  if (query.error && !query.data)
    return (
      <div className="page">
        <ProblemNote failure={query.error} again={() => void query.refetch()} />
      </div>
    );
  if (!query.data)
    return (
      <div className="page">
        <Loading rows={8} label="Loading the settings" />
      </div>
    );
  const version = {
    message: query.data.settings ?? create(EnvironmentSettingsSchema),
    revision: query.data.revision,
  };
  return <Editing key={environment} environment={environment} version={version} />;
}

const never = () => false;

export type Edit = (how: (s: EnvironmentSettings) => void) => void;

function Editing({
  environment,
  version,
}: {
  environment: string;
  version: Version<typeof EnvironmentSettingsSchema>;
}) {
  const session = useSession();
  const queries = useQueryClient();
  const [location] = useLocation();
  const [reviewing, setReviewing] = useState(false);
  const [restoring, setRestoring] = useState(false);
  const state = useDraft(settingsKind, `settings/${environment}`, version, never);
  const { draft, dirty, behind } = state;
  const may = session.may(Role.ADMINISTRATOR, environment);
  const form = { settings: draft.mine, edit: state.edit, disabled: !may, environment };
  const [refused, setRefused] = useState<Refused>();
  const problems = useMemo(() => standing(refused, draft.mine), [refused, draft.mine]);
  const fields = useMemo(
    () => ({ disabled: !may, texts: draft.texts, setText: state.setText, moveTexts: state.moveTexts, problems }),
    [may, draft.texts, state.setText, state.moveTexts, problems],
  );
  async function write(reason: string, requestId: string) {
    const asked = { environment, settings: draft.mine, baseRevision: draft.revision, reason, requestId };
    try {
      const r = await environments.updateEnvironment(asked);
      state.saved({ message: r.settings ?? draft.mine, revision: r.revision });
    } catch (failure) {
      setRefused({ settings: draft.mine, violations: problemOf(failure).violations });
      throw failure;
    }
    await queries.invalidateQueries({ queryKey: ["settings", environment] });
    return {};
  }
  const changes = dirty ? differences(settingsKind, draft.base, draft.mine) : [];
  return (
    <div className="page">
      <PageHead
        title={`Settings of ${environment}`}
        tab={`Settings · ${environment}`}
        above={
          <div className="small">
            <Link href={`/${environment}/environments`}>Environments</Link>
          </div>
        }
        actions={
          session.may(Role.OPERATOR, environment) && (
            <Button onClick={() => setRestoring(true)}>
              <History size={16} aria-hidden /> Restore to a time…
            </Button>
          )
        }
      >
        They hold for the environment as a whole.
      </PageHead>
      {!may && (
        <Note>
          <span>An administrator can change them.</span>
        </Note>
      )}
      {behind && (
        <ConflictNote
          kind={settingsKind}
          what="environment"
          environment={environment}
          state={state}
          latest={version}
          newest={() => environments.listEnvironmentHistory({ environment, pageSize: 20 })}
        />
      )}
      <FormProvider value={fields}>
        <Protection {...form} />
        <Approval {...form} />
        <Order {...form} />
        <Windows {...form} />
        <Policy {...form} />
        <FileSources {...form} />
      </FormProvider>
      <Card title="History">
        <AccessHistory
          queryKey={["settings-history", environment, version.revision.toString()]}
          fetch={() => environments.listEnvironmentHistory({ environment, pageSize: 50 })}
        />
      </Card>
      {dirty && (
        <div className="save-bar" role="region" aria-label="Unsaved changes">
          <PencilLine size={17} aria-hidden />
          <span className="words" role="status">
            {problems.size > 0 ? `${plural(problems.size, "thing")} to mend.` : "Unsaved changes."}
          </span>
          <Button onClick={state.discard}>Discard</Button>
          <Button kind="primary" disabled={!may} onClick={() => setReviewing(true)}>
            Review and save
          </Button>
        </div>
      )}
      {reviewing && dirty && (
        <ChangeDialog
          title={`Save the settings of ${environment}`}
          environment={environment}
          wide
          refusedBy={bySomebody}
          label="Save"
          done={`The settings of ${environment} are saved`}
          run={write}
          onClose={() => setReviewing(false)}
        >
          {behind && (
            <Note tone="warn">
              <span>Somebody else saved other settings meanwhile. Close this, and look at what they did first.</span>
            </Note>
          )}
          <Changes changes={changes} subject={{ kind: "settings" }} none="Nothing differs from what is there." />
        </ChangeDialog>
      )}
      {restoring && <RestoreDialog environment={environment} onClose={() => setRestoring(false)} />}
      {dirty && <LeaveDialog what={`The settings of ${environment}`} stay={location} discard={state.discard} />}
    </div>
  );
}
