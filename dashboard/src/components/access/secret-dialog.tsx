import "./access.css";
import { type ReactNode, useState } from "react";
import { Button, CopyButton, Note } from "../basics";
import { Dialog } from "../dialog";

// A secret, the one time that it can be seen: it does not go by a slip.
export function SecretDialog({
  title,
  secret,
  children,
  onClose,
}: {
  title: string;
  secret: string;
  // How it is used.
  children?: ReactNode;
  onClose: () => void;
}) {
  const [leaving, setLeaving] = useState(false);
  return (
    <Dialog
      title={title}
      wide
      onClose={() => setLeaving(true)}
      footer={
        <>
          {leaving && (
            <Button kind="danger" onClick={onClose}>
              Close without it
            </Button>
          )}
          <Button kind="primary" onClick={onClose}>
            I have kept it
          </Button>
        </>
      }
    >
      <Note tone={leaving ? "bad" : "warn"}>
        <strong>{leaving ? "Have you kept it? You will not see it again" : "You will not see it again"}</strong>
        <span>
          Keep it where secrets are kept. Nobody can look it up, here or on the server; it can only be replaced.
        </span>
      </Note>
      <div className="secret">
        <code>{secret}</code>
        <CopyButton text={secret} label="Copy the secret" />
      </div>
      {children}
    </Dialog>
  );
}
