import { Compass } from "lucide-react";
import { Empty } from "../components/basics";

export function NotFound({ what }: { what: string }) {
  return (
    <main className="centered">
      <Empty icon={Compass} title="Nothing here">
        <p>{what}</p>
        <a className="button" href="/">
          To the flags
        </a>
      </Empty>
    </main>
  );
}
