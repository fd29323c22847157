import { Ago, useTick } from "../../components/basics";
import { toldLately } from "../../lib/time";

// When a flag was asked for, as far as that is known: relays tell once a minute, to the minute.
export function Evaluated({ at }: { at: Date | undefined }) {
  useTick();
  if (!at) return "Never evaluated";
  if (toldLately(at))
    return (
      <span title="Relays tell once a minute: what is newer is not known yet.">Evaluated in the last minutes</span>
    );
  return (
    <>
      Last evaluated <Ago at={at} />
    </>
  );
}
