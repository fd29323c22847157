import { useEffect, useState } from "react";
import { beforeLeaving } from "../lib/leaving";
import { Button } from "./basics";
import { Dialog } from "./dialog";

// Asks, as long as it is rendered, before another page is shown than `stay`.
export function LeaveDialog({ what, stay, discard }: { what: string; stay: string; discard: () => void }) {
  const [going, setGoing] = useState<{ go: () => void }>();
  useEffect(
    () =>
      beforeLeaving((to, go) => {
        if (to.split(/[?#]/)[0] === stay) return false;
        setGoing({ go });
        return true;
      }),
    [stay],
  );
  if (!going) return null;
  return (
    <Dialog
      title={`${what} has unsaved changes`}
      onClose={() => setGoing(undefined)}
      footer={
        <>
          <Button onClick={() => setGoing(undefined)}>Stay here</Button>
          <Button
            onClick={() => {
              discard();
              going.go();
            }}
          >
            Discard them
          </Button>
          <Button kind="primary" onClick={going.go}>
            Leave, and keep them
          </Button>
        </>
      }
    >
      <p>What you changed is kept in this tab of the browser: come back to {what} and go on. Nobody else sees it.</p>
    </Dialog>
  );
}
