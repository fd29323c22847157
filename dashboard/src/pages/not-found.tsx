import { Compass } from "lucide-react";
import { Empty } from "../components/basics";

export function NotFound({ what }: { what: string }) {
  return (
    <div className="centered nowhere">
      <Empty icon={Compass} title="Nothing here" heading="h1">
        <p>{what}</p>
        <a className="button" href="/">
          To the flags
        </a>
      </Empty>
    </div>
  );
}
