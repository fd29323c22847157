import { code, type Words } from "../words";
import { came, field, type Item, jsonIn, type Said } from "./lines";

const yesNo = (json: string): Words | undefined => (json === "true" ? ["yes"] : json === "false" ? ["no"] : undefined);

// What is not told is no.
const orNo = (c: Item): Item => ({ ...c, before: c.before || "false", after: c.after || "false" });

const names = (json: string): Words | undefined => {
  const v = jsonIn(json);
  return Array.isArray(v)
    ? v.flatMap((n, i) => [i === 0 ? "" : ", ", code(String(n))]).filter((w) => w !== "")
    : undefined;
};

const count = (json: string): Words | undefined => (/^\d+$/.test(json) ? [json] : undefined);

// What each field is called, and how it is said.
const fields: Record<string, [string, ((json: string) => Words | undefined)?, string?]> = {
  protected: ["Protected", yesNo],
  "approval.approvals": ["How many others must approve a change", count, "0"],
  "approval.explanation": ["What people are told of approvals"],
  "promotion.from": ["Comes after"],
  "promotion.required": ["What is written must be as there", yesNo],
  "flag_policy.key_pattern": ["Keys of new flags match"],
  "flag_policy.key_prefixes": ["Keys of new flags begin with", names, "anything"],
  "flag_policy.require_owner": ["New flags must have an owner", yesNo],
  "flag_policy.require_kind": ["New flags must have a kind", yesNo],
  "flag_policy.explanation": ["What people are told of new flags"],
};

// What is said of one change of an environment's settings.
export function settingsSaid(c: Item): Said {
  if (wholes.has(c.path)) return whole(c);
  const known = fields[c.path];
  if (known) return field(known[0], known[1] === yesNo ? orNo(c) : c, known[1], known[2]);
  const [, list, name] = /^(freeze_windows|file_sources)\[([^\]]*)\]$/s.exec(c.path) ?? [];
  if (name === undefined) return undefined;
  const what: Words = [list === "freeze_windows" ? "Freeze window " : "File source ", code(name)];
  const said = came(what, c);
  return Array.isArray(said) ? { partly: said } : said;
}

const wholes = new Set(["approval", "promotion", "flag_policy"]);

// A part that was not there, or is no longer: each of its fields.
function whole(c: Item): Said {
  const [was, is] = [partOf(c.before), partOf(c.after)];
  if (!was || !is) return undefined;
  const text = (v: unknown) => (v === undefined ? "" : JSON.stringify(v));
  const said = [...new Set([...Object.keys(was), ...Object.keys(is)])].map((n) =>
    settingsSaid({ path: `${c.path}.${n}`, before: text(was[n]), after: text(is[n]), of: c.of }),
  );
  if (said.length === 0 || !said.every((s): s is Words => Array.isArray(s))) return undefined;
  return said.flatMap((s, i) => (i === 0 ? s : [" ", ...s]));
}

function partOf(json: string): Record<string, unknown> | undefined {
  const v = json === "" ? {} : jsonIn(json);
  return typeof v === "object" && v !== null && !Array.isArray(v) ? v : undefined;
}
