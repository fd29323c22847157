import { useState } from "react";
import { fleet } from "../../api/transport";
import { Button } from "../../components/basics";
import { Dialog } from "../../components/dialog";
import { ProblemNote } from "../../components/problem";
import { useToast } from "../../components/toast";
import type { Relay } from "../../gen/tidegate/control/v1/fleet_service_pb";

// A relay that will not come back is forgotten. It is no change of a flag, and in no audit trail.
export function ForgetDialog({ relay, onClose }: { relay: Relay; onClose: () => void }) {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<unknown>();
  const say = useToast();

  async function forget() {
    setBusy(true);
    setFailure(undefined);
    try {
      await fleet.forgetRelay({ instanceId: relay.instanceId });
      say("good", `${relay.instanceId} is forgotten`);
      onClose();
    } catch (failed) {
      setFailure(failed);
      setBusy(false);
    }
  }

  return (
    <Dialog
      title={`Forget ${relay.instanceId}`}
      onClose={onClose}
      onSubmit={() => void forget()}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" kind="danger" disabled={busy}>
            {busy ? "Forgetting…" : "Forget it"}
          </Button>
        </>
      }
    >
      <p>
        Nobody waits for this relay any more: neither the receipts of changes nor rollouts that must be applied
        everywhere before they go on.
      </p>
      <p className="soft">
        Do this only if it will not come back. If it runs and is cut off, it goes on serving what it has, and shows up
        here again once it is connected.
      </p>
      {failure !== undefined && <ProblemNote failure={failure} />}
    </Dialog>
  );
}
