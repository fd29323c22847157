import { plural } from "./numbers";
import { span } from "./time";

// Names who has not applied a revision: some by name, the others by their number. `last`: nobody
// waits for them any more.
export function missingWords(names: string[], total: number, last: boolean): string {
  if (total <= 0) return "";
  const shown = names.slice(0, total > names.length || total > 4 ? 3 : 4);
  const rest = total - shown.length;
  const who = [...shown, ...(rest > 0 ? [plural(rest, "other")] : [])].join(", ");
  return last ? `not: ${who}` : `waiting for ${who}`;
}

// How long it took until the last one had it, since it was asked: some are faster than the question.
export function afterWords(seconds: number): string {
  return seconds < 0.001 ? "already" : `after ${span(seconds)}`;
}
