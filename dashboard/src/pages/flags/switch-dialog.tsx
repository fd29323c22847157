import { create } from "@bufbuild/protobuf";
import { flags } from "../../api/transport";
import { useLiveStore } from "../../api/use-live";
import { Note } from "../../components/basics";
import { ChangeDialog } from "../../components/change-dialog";
import { Words } from "../../components/words";
import { type FlagSummary, FlagSummarySchema } from "../../gen/tidegate/control/v1/watch_service_pb";
import { served, sharesWords, whereWords } from "../../lib/flag-words";
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

  return (
    <ChangeDialog
      title={`Turn ${flag.key} ${on ? "on" : "off"} in ${environment}`}
      environment={environment}
      label={on ? "Turn on" : "Turn off"}
      danger={!on}
      unconfirmed={!on}
      done={`${flag.key} is ${on ? "on" : "off"} in ${environment}`}
      run={run}
      proposal={on ? proposal : undefined}
      onClose={onClose}
    >
      <p>
        {capital(audience("", on ? flag.rules : 0))} gets: <strong>{sharesWords(served(after))}</strong>
        {on && <Words words={whereWords(flag)} />}.
      </p>
      {!on && flag.rollouts.length > 0 && (
        <Note tone="warn">
          <span>A rollout moves this flag: it waits while the flag is off, and goes on when it is on again.</span>
        </Note>
      )}
    </ChangeDialog>
  );
}
