import type { ReactNode } from "react";
import type { FileSource } from "../gen/tidegate/control/v1/environment_pb";
import { Note } from "./basics";

// Why something is not done here, and where it is done.
export function KeptInFiles({ source, what, children }: { source: FileSource; what: string; children: ReactNode }) {
  return (
    <Note>
      <span>
        This {what} is kept in files: the source <strong>{source.name}</strong>
        {source.location && (
          <>
            {" "}
            at <code>{source.location}</code>
          </>
        )}
        . {children}
      </span>
    </Note>
  );
}
