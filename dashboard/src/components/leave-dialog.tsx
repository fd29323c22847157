import { useEffect, useState } from "react";
import { beforeLeaving } from "../lib/address";
import { Button } from "./basics";
import { Dialog } from "./dialog";

// Asks, as long as it is rendered, before another page is shown than `stay`: by a link, by the
// browser's Back and Forward, and, in the browser's own words, when the tab is closed.
export function LeaveDialog({
  what,
  stay,
  discard,
}: {
  what: string;
  stay: string;
  // Undefined: what was entered is kept nowhere.
  discard?: () => void;
}) {
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
  useEffect(() => {
    const ask = (e: BeforeUnloadEvent) => e.preventDefault();
    window.addEventListener("beforeunload", ask);
    return () => window.removeEventListener("beforeunload", ask);
  }, []);
  if (!going) return null;
  if (!discard)
    return (
      <Dialog
        title={`${what} is not saved`}
        onClose={() => setGoing(undefined)}
        footer={
          <>
            <Button onClick={going.go}>Leave, and lose it</Button>
            <Button kind="primary" onClick={() => setGoing(undefined)}>
              Stay here
            </Button>
          </>
        }
      >
        <p>What you entered is kept nowhere else.</p>
      </Dialog>
    );
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
