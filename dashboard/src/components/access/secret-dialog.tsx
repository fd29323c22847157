import "./access.css";
import type { ReactNode } from "react";
import { Button, CopyButton, Note } from "../basics";
import { Dialog } from "../dialog";

// A secret, the one time that it can be seen.
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
  return (
    <Dialog
      title={title}
      wide
      onClose={onClose}
      footer={
        <Button kind="primary" onClick={onClose}>
          I have kept it
        </Button>
      }
    >
      <Note tone="warn">
        <strong>You will not see it again</strong>
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
