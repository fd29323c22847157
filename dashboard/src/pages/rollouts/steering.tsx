import { ChevronsRight, Pause, Play, Trash2, XOctagon } from "lucide-react";
import { useState } from "react";
import { Link, useLocation } from "wouter";
import { rollouts } from "../../api/transport";
import { useLive } from "../../api/use-live";
import { Button, Note } from "../../components/basics";
import { ChangeDialog } from "../../components/change-dialog";
import { type Assessment, Standing } from "../../gen/tidegate/rollout/v1/decision_pb";
import { type Rollout, State } from "../../gen/tidegate/rollout/v1/rollout_pb";
import { isOver } from "../../lib/rollout-words";
import { type Act, steeringWords } from "../../lib/steering-words";
import type { Seen } from "./use-rollout";

// What a person can do with a rollout. To end it is at hand, and asks for no more than why.
export function Steering({ environment, seen, may }: { environment: string; seen: Seen; may: boolean }) {
  const [act, setAct] = useState<Act>();
  if (!seen.rollout) return null;
  const status = seen.summary?.status ?? seen.rollout.status;
  // The live status is newer than that which was read with the rest.
  const rollout: Rollout = { ...seen.rollout, status };
  const off = { disabled: !may, title: may ? undefined : "You may not change this rollout" };
  // The dialog stays the same one when the rollout is over meanwhile, be it by what it wrote.
  return (
    <>
      {isOver(status) ? (
        <WhenOver environment={environment} rollout={rollout} off={off} ask={setAct} />
      ) : (
        <WhileUnderWay rollout={rollout} assessment={seen.assessment} off={off} ask={setAct} />
      )}
      {act && (
        <ActDialog
          act={act}
          environment={environment}
          rollout={rollout}
          assessment={seen.assessment}
          onClose={() => setAct(undefined)}
        />
      )}
    </>
  );
}

type Off = { disabled: boolean; title: string | undefined };

function WhenOver(props: { environment: string; rollout: Rollout; off: Off; ask: (act: Act) => void }) {
  const { environment, rollout, off, ask } = props;
  const again = `/${environment}/rollouts/~new?flag=${encodeURIComponent(rollout.flagKey)}&like=${encodeURIComponent(rollout.key)}`;
  return (
    <>
      {!off.disabled && (
        <Link className="button" href={again}>
          <Play size={15} aria-hidden /> Start again
        </Link>
      )}
      <Button kind="quiet" {...off} onClick={() => ask("delete")}>
        <Trash2 size={15} aria-hidden /> Delete
      </Button>
    </>
  );
}

function WhileUnderWay(props: { rollout: Rollout; assessment: Seen["assessment"]; off: Off; ask: (act: Act) => void }) {
  const { rollout, assessment, off, ask } = props;
  const breach = assessment?.guardrails.some((g) => g.standing === Standing.BREACH);
  const last = !rollout.stages[(rollout.status?.stage ?? 0) + 1];
  return (
    <>
      {rollout.status?.state === State.PAUSED ? (
        <Button {...off} onClick={() => ask("resume")}>
          <Play size={15} aria-hidden /> Resume
        </Button>
      ) : (
        <Button {...off} onClick={() => ask("pause")}>
          <Pause size={15} aria-hidden /> Pause
        </Button>
      )}
      <Button
        disabled={off.disabled || breach}
        title={breach ? "A guardrail is violated: it cannot be widened" : off.title}
        onClick={() => ask("promote")}
      >
        <ChevronsRight size={15} aria-hidden /> {last ? "Complete" : "Widen"}
      </Button>
      <Button kind="danger" {...off} onClick={() => ask("abort")}>
        <XOctagon size={15} aria-hidden /> Abort
      </Button>
    </>
  );
}

function ActDialog(props: {
  act: Act;
  environment: string;
  rollout: Rollout;
  assessment?: Assessment | undefined;
  onClose: () => void;
}) {
  const { act, environment, rollout, assessment, onClose } = props;
  const [, navigate] = useLocation();
  const { key } = rollout;
  // As it was when the dialog was opened: what one sees is what one does.
  const [opened] = useState(rollout.status?.stage ?? 0);
  const flag = useLive((l) => l.flags.get(rollout.flagKey));
  const said = steeringWords(act, { environment, rollout, flag, stage: opened + 1, assessment });

  async function run(reason: string, requestId: string) {
    const request = { environment, key, reason, requestId };
    switch (act) {
      case "pause":
        return { revision: (await rollouts.pauseRollout(request)).rollout?.revision };
      case "resume":
        return { revision: (await rollouts.resumeRollout(request)).rollout?.revision };
      case "promote": {
        const made = await rollouts.promoteRollout({ ...request, stage: opened + 1 });
        return { revision: made.rollout?.revision };
      }
      case "abort":
        return { revision: (await rollouts.abortRollout(request)).rollout?.revision };
      case "delete":
        await rollouts.deleteRollout(request);
        return {};
    }
  }

  return (
    <ChangeDialog
      title={said.title}
      environment={environment}
      label={said.label}
      danger={act === "abort" || act === "delete"}
      unconfirmed={act === "abort" || act === "pause"}
      done={said.done}
      run={run}
      onClose={onClose}
      onDone={act === "delete" ? () => navigate(`/${environment}/rollouts`) : undefined}
    >
      <p>{said.what}</p>
      {said.caution && (
        <Note tone="warn">
          <span>{said.caution}</span>
        </Note>
      )}
    </ChangeDialog>
  );
}
