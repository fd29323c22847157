import { fromJson } from "@bufbuild/protobuf";
import { type Flag, FlagKind, RuleSchema, ValueType } from "../../gen/tidegate/flag/v1/flag_pb";
import { kindWords, typeWords } from "../flag-words";
import type { Change } from "../merge";
import { span } from "../time";
import { code, list, type Words } from "../words";
import { asText, came, field, finished, type Item, jsonIn, order, type Said, tellable } from "./lines";
import { aboutInstead, audience, ruleSaid, serves, servesInstead } from "./serving";
import { clausesIn, outcomeIn, read } from "./undo";

// What is known of the flag: as it is after the changes, and whether they made it.
export type Around = { after?: Flag; made: boolean };

// What is said of one change of a flag.
export function flagSaid(c: Item, around: Around): Said {
  for (const [path, say] of parts) {
    const found = path.exec(c.path);
    if (found) return say(found[1] ?? "", found[2] ?? "", c, around);
  }
  return plainField(c, around);
}

const parts: [RegExp, (name: string, rest: string, c: Item, around: Around) => Said][] = [
  [/^tags\[(.*)\]$/s, (name, _, c) => came(["Tag ", code(name)], c)],
  [/^metadata\[(.*)\]$/s, (name, _, c) => field(["Metadata ", code(name)], c)],
  [/^variants\[(.*)\](\.value)?$/s, variant],
  [/^prerequisites\[([^\]]*)\](.*)$/s, prerequisite],
  [/^rules\[([^\]]*)\](.*)$/s, ofRule],
  [
    /^default_outcome\.split\.variants\[(.*)\]\.weight$/s,
    (name, _, c) => field(["Weight of ", code(name), " where no rule matches"], c),
  ],
];

function plainField(c: Item, around: Around): Said {
  switch (c.path) {
    case "enabled":
      return around.made ? [c.after === "true" ? "It is on." : "It is off."] : switched(c);
    case "description":
      return field("Description", c);
    case "owner":
      return field("Owner", c);
    case "type":
      return field("Type", c, (t) => enumWords(typeWords, ValueType, "VALUE_TYPE_", t));
    case "kind":
      return field("Kind", c, (t) => enumWords(kindWords, FlagKind, "FLAG_KIND_", t));
    case "off_variant":
      return field("Served while it is off", c, asText, "the caller's own default");
    case "client_visible":
      return [c.after === "true" ? "Keys of clients may evaluate it." : "Keys of clients may not evaluate it."];
    case "expected_lifetime":
      return field("Expected lifetime", c, durationWords);
    case "bucketing_version":
      return field("Bucketing version", c, (t) => asText(t.replace("BUCKETING_VERSION_", "")));
    case "default_outcome":
      return served(c, around.after?.rules.length === 0 ? undefined : ["Where no rule matches, it "], around);
    case "variants":
      return order("The variants", c);
    case "rules":
      return order("The rules", c);
  }
  return undefined;
}

const switched = (c: Change): Said => [c.after === "true" ? "Turned on." : "Turned off."];

function enumWords(words: Record<number, string>, values: object, prefix: string, json: string): Words | undefined {
  const name = String(jsonIn(json) ?? "");
  const value = (values as Record<string, number>)[name.replace(prefix, "")];
  return value !== undefined && words[value] ? [words[value]] : undefined;
}

function durationWords(json: string): Words | undefined {
  const seconds = /^"(\d+)s"$/.exec(json)?.[1];
  return seconds === undefined ? undefined : [span(Number(seconds))];
}

// What is served instead: `who` begins the sentence, else the deed.
function served(c: Item, who: Words | undefined, { after, made }: Around): Said {
  const [was, is] = [outcomeIn(c.before), outcomeIn(c.after)];
  const end = after && !after.enabled ? ", once it is on." : ".";
  return finished(was && is && (made ? serves(is) : servesInstead(was, is)), (words) => {
    const [first, ...others] = words;
    return who ? [...who, ...words, end] : [String(first).replace(/^s/, "S"), ...others, end];
  });
}

function variant(name: string, rest: string, c: Item): Said {
  if (rest) return field(["The value of ", code(name)], c);
  const v = jsonIn(c.before || c.after);
  if (typeof v !== "object" || v === null || Array.isArray(v) || !tellable(c.before, c.after)) return undefined;
  const value = code(typeof v.value === "string" ? v.value : JSON.stringify(v.value ?? null));
  return c.before === ""
    ? ["Variant ", code(name), " was added, with the value ", value, "."]
    : ["Variant ", code(name), " was removed; its value was ", value, "."];
}

function prerequisite(flag: string, rest: string, c: Item): Said {
  const of = (json: string): Words | undefined => {
    const v = jsonIn(json);
    const names = Array.isArray(v) ? v : (v as { variants?: unknown } | undefined)?.variants;
    if (!Array.isArray(names) || names.length === 0) return undefined;
    const said = list(
      names.map((n) => [code(String(n))]),
      "or",
      Number.POSITIVE_INFINITY,
    );
    return [code(flag), " to serve ", ...said];
  };
  const one = /^\.variants\[(.*)\]$/s.exec(rest)?.[1];
  if (one !== undefined)
    return [`It is ${c.before === "" ? "also" : "no longer"} enough that `, code(flag), " serves ", code(one), "."];
  if (rest !== "" && rest !== ".variants") return undefined;
  const [was, is] = [of(c.before), of(c.after)];
  if (was && is) return ["It needs ", ...is, "; before, ", ...was, "."];
  if (rest !== "") return undefined;
  if (is) return ["It now needs ", ...is, "."];
  return was && ["It no longer needs ", ...was, "."];
}

function ofRule(id: string, rest: string, c: Item, around: Around): Said {
  const rule: Words = ["Rule ", code(id)];
  const finish = (said: Said, verb: string) => finished(said, (w) => [...rule, verb, ...w, "."]);
  switch (rest) {
    case "": {
      const whole = read(() => fromJson(RuleSchema, jsonIn(c.before || c.after) ?? null));
      return whole && finish(ruleSaid(whole), c.before === "" ? " was added: it serves " : " was removed: it served ");
    }
    case ".description":
      return field(["Description of rule ", code(id)], c);
    case ".outcome":
      return served(c, [...rule, " "], around);
    case ".clauses": {
      const [was, is] = [clausesIn(c.before), clausesIn(c.after)];
      return was && is && finish(aboutInstead(was, is), " ");
    }
  }
  const weight = /^\.outcome\.split\.variants\[(.*)\]\.weight$/s.exec(rest)?.[1];
  if (weight !== undefined) return field(["Weight of ", code(weight), " in rule ", code(id)], c);
  return clauseOf(["rule ", code(id)], rest, c);
}

// A condition, where its rule is not known as a whole.
export function clauseOf(of: Words, rest: string, c: Item): Said {
  const [, place, name] = /^\.clauses\[(\d+)\](?:\.(attribute|operator|values|negate))?$/.exec(rest) ?? [];
  if (place === undefined) return undefined;
  const what: Words = [`Condition ${Number(place) + 1} of `, ...of];
  if (name) return field([...what, `, ${name}`], c, (t) => asText(t.replace("OPERATOR_", "")));
  const clauses = clausesIn(`[${c.before || c.after}]`);
  const deed = c.before === "" ? " was added: " : " was removed: ";
  return finished(clauses && audience(clauses), (words) => [...what, deed, ...words, "."]);
}
