import type { FileSource } from "../gen/tidegate/control/v1/environment_pb";
import { Note } from "./basics";

// Why something is not edited here.
export function KeptInFiles({ source, what, killSwitch }: { source: FileSource; what: string; killSwitch?: boolean }) {
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
        . Edit it there.{killSwitch && " The switch works here all the same."}
      </span>
    </Note>
  );
}
