import { create } from "@bufbuild/protobuf";
import { flags } from "../../api/transport";
import { useSettings } from "../../api/use-environment";
import { useFreeze } from "../../api/use-freeze";
import { useLiveStore } from "../../api/use-live";
import { Button, Note } from "../../components/basics";
import { ChangeDialog } from "../../components/change-dialog";
import { Dialog } from "../../components/dialog";
import { KeptInFiles } from "../../components/kept-in-files";
import { Words } from "../../components/words";
import { type FlagSummary, FlagSummarySchema } from "../../gen/tidegate/control/v1/watch_service_pb";
import { FlagKind } from "../../gen/tidegate/flag/v1/flag_pb";
import { turnedOnIn } from "../../lib/file-sources";
import { served, sharesWords, whereWords } from "../../lib/flag-words";
import { byAnybody, byNothing, frozenWords } from "../../lib/freeze-words";
import { audience } from "../../lib/served-words";
import { capital } from "../../lib/words";

// The kill switch, and its way back. Off needs no more than a reason, wherever it is.
export function SwitchDialog({
  flag,
  on,
  environment,
  onClose,
}: {
  flag: FlagSummary;
  on: boolean;
  environment: string;
  onClose: () => void;
}) {
  const live = useLiveStore();
  const files = turnedOnIn(useSettings(environment).data?.settings, flag);
  const title = `Turn ${flag.key} ${on ? "on" : "off"} in ${environment}`;
  // Off or on, one of them is its safe state: a freeze lets both through.
  const operational = flag.kind === FlagKind.OPERATIONAL;
  const frozen = useFreeze(environment)?.frozen[0];
  const after = create(FlagSummarySchema, { ...flag, enabled: on });

  async function run(reason: string, requestId: string) {
    const takeBack = live.assume(after); // what the server tells replaces it
    try {
      const { flag: written } = await flags.setEnabled({
        environment,
        flagKey: flag.key,
        enabled: on,
        reason,
        requestId,
      });
      return { revision: written?.revision };
    } catch (failure) {
      takeBack();
      throw failure;
    }
  }

  // To turn off needs nobody; to turn on again may.
  async function proposal() {
    const { flag: now } = await flags.getFlag({ environment, flagKey: flag.key });
    return { flags: [{ flag: now?.flag && { ...now.flag, enabled: on }, baseRevision: now?.revision }] };
  }

  if (on && files)
    return (
      <Dialog title={title} onClose={onClose} footer={<Button onClick={onClose}>Close</Button>}>
        <KeptInFiles source={files} what="flag">
          Turn it on there, and apply them with <code>tidegate apply --source {files.name} --enable</code>.
        </KeptInFiles>
      </Dialog>
    );

  return (
    <ChangeDialog
      title={title}
      environment={environment}
      label={on ? "Turn on" : "Turn off"}
      danger={!on}
      unconfirmed={!on}
      refusedBy={on && !operational ? byAnybody : byNothing}
      done={`${flag.key} is ${on ? "on" : "off"} in ${environment}`}
      run={run}
      proposal={on ? proposal : undefined}
      onClose={onClose}
    >
      <p>
        {capital(audience("", on ? flag.rules : 0))} gets: <strong>{sharesWords(served(after))}</strong>
        {on && <Words words={whereWords(flag)} />}.
      </p>
      {files && (
        <Note tone="warn">
          <span>This flag is kept in files: you can turn it on again only there.</span>
        </Note>
      )}
      {!on && frozen && !operational && (
        <Note tone="warn">
          <span>{frozenWords(frozen)}. It cannot be turned on again until that is over.</span>
        </Note>
      )}
      {!on && flag.rollouts.length > 0 && (
        <Note tone="warn">
          <span>A rollout moves this flag: it waits while the flag is off, and goes on when it is on again.</span>
        </Note>
      )}
    </ChangeDialog>
  );
}
