import type { JsonValue } from "@bufbuild/protobuf";
import type { Change } from "../merge";
import { code, type Words } from "../words";

/* What is said of some changes: a sentence, the changes as they are, or, where the sentence does not
   tell everything that is in them, both. Each change is in one line. */
export type Line = { words?: Words; of: Change[]; whole: boolean };

// Says a change, or does not. `partly`: there is more in it than the sentence has.
export type Said = Words | { partly: Words } | undefined;

// A change of something that is told as one, and the changes that make it up.
export type Item = Change & { of: Change[] };

export function lineOf(item: Item, said: Said): Line {
  if (!said) return { of: item.of, whole: false };
  return Array.isArray(said)
    ? { words: said, of: item.of, whole: true }
    : { words: said.partly, of: item.of, whole: false };
}

// The sentence that is made of what is said.
export function finished(said: Said, how: (words: Words) => Words): Said {
  return Array.isArray(said) ? how(said) : said && { partly: how(said.partly) };
}

// A value is not told where it is too long, here or for the server, which then names its size.
const longest = 240;
const shortened = /^"\(\d+ bytes of JSON, SHA-256 [0-9a-f]{64}\)"$/;

export function jsonIn(text: string): JsonValue | undefined {
  if (text === "" || shortened.test(text)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function tellable(...texts: string[]): boolean {
  return texts.every((t) => t === "" || (t.length <= longest && jsonIn(t) !== undefined));
}

// Text as it is, anything else as JSON.
export function asText(json: string): Words | undefined {
  const v = jsonIn(json);
  return v === undefined ? undefined : [code(typeof v === "string" ? v : JSON.stringify(v))];
}

// "Owner: `payments`, was `checkout`."
export function field(
  name: string | Words,
  c: Change,
  say: (json: string) => Words | undefined = asText,
  none = "none",
): Said {
  if (!tellable(c.before, c.after)) return undefined;
  const [was, is] = [c.before, c.after].map((t) => (t === "" ? [none] : say(t)));
  if (!was || !is || JSON.stringify(was) === JSON.stringify(is)) return undefined;
  const head = typeof name === "string" ? [name] : name;
  return [...head, ": ", ...is, ...(c.before === "" ? [] : [", was ", ...was]), "."];
}

// "Tag `a` was added."
export function came(what: Words, c: Change): Said {
  if (c.before !== "" && c.after !== "") return undefined;
  return [...what, c.before === "" ? " was added." : " was removed."];
}

// The names of a list, in another order.
export function order(name: string, c: Change): Said {
  const [was, is] = [jsonIn(c.before), jsonIn(c.after)].map((v) =>
    Array.isArray(v) && v.every((n): n is string => typeof n === "string") ? v : undefined,
  );
  if (!was || !is) return undefined;
  const said = (names: string[]): Words => names.flatMap((n, i) => (i === 0 ? [code(n)] : [", ", code(n)]));
  return [`${name} are in the order `, ...said(is), ", were ", ...said(was), "."];
}
