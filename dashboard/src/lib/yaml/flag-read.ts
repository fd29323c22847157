import { create, type JsonObject } from "@bufbuild/protobuf";
import { isMap, isScalar, isSeq, type Node, parseDocument } from "yaml";
import {
  BucketingVersion,
  type Clause,
  ClauseSchema,
  type Flag,
  FlagKind,
  FlagSchema,
  Operator,
  type Outcome,
  OutcomeSchema,
  PrerequisiteSchema,
  type Rule,
  RuleSchema,
  SplitSchema,
  ValueType,
  VariantSchema,
  WeightedVariantSchema,
} from "../../gen/tidegate/flag/v1/flag_pb";
import { kindWords } from "../flag-words";
import { type OperatorWords, operatorNamed, operators } from "../operators";
import { readDuration } from "./duration";
import { apiVersion, typeNames } from "./flag-write";
import { didYouMean, type Entry, isNothing, type Range, Reader, type TextProblem } from "./reader";

const maxWeight = 2 ** 31 - 1;

export type ReadFlag = {
  // Unset where something is wrong.
  flag?: Flag;
  problems: TextProblem[];
  // Where each field stands, by the paths of the server: rules[0].clauses[1].values[0].
  places: ReadonlyMap<string, Range>;
};

// Reads a file with one flag, that of the key.
export function readFlag(text: string, key: string): ReadFlag {
  const document = parseDocument(text, { schema: "core", prettyErrors: false });
  const r = new FlagReader();
  for (const e of document.errors) r.fail([e.pos[0], e.pos[1]], `${e.message[0]?.toUpperCase()}${e.message.slice(1)}.`);
  if (r.problems.length > 0) return { problems: r.problems, places: r.places };
  const flag = r.file(document.contents as Node | null, [0, Math.min(1, text.length)], key);
  r.problems.sort((a, b) => a.range[0] - b.range[0]);
  return { flag: r.problems.length === 0 ? flag : undefined, problems: r.problems, places: r.places };
}

// Where a field that the server names stands: the field itself, or the nearest that it is in.
export function placeOf(places: ReadonlyMap<string, Range>, field: string): Range | undefined {
  let path = field.replace(/^flags?(\[[^\]]*\])?\.(flag\.)?/, "");
  for (;;) {
    const at = places.get(path);
    if (at || path === "") return at ?? places.get("key");
    path = path.slice(0, Math.max(0, path.lastIndexOf("."), path.lastIndexOf("[")));
  }
}

type Fields = Record<string, (node: Node | null, at: Range) => void>;

class FlagReader extends Reader {
  // Reads the fields of a mapping; returns those that were there.
  private fields(node: Node | null, at: Range, what: string, fields: Fields): Set<string> {
    const seen = new Set<string>();
    for (const e of this.entries(node, at, what)) {
      const read = Object.hasOwn(fields, e.name) ? fields[e.name] : undefined;
      if (!read) this.fail(e.key, `Unknown field ${e.name}: ${didYouMean(e.name, Object.keys(fields))}`);
      else if (this.given(e)) read(e.value, e.at);
      seen.add(e.name);
    }
    return seen;
  }

  // A name without a value is a slip, but for the null that an expression may be.
  private given(e: Entry): boolean {
    if (!isNothing(e.value) || (e.name === "expression" && isScalar(e.value) && e.value.source)) return true;
    this.fail(e.key, `${e.name} is empty: give it a value, or leave it out.`);
    return false;
  }

  file(node: Node | null, at: Range, key: string): Flag | undefined {
    let flag: Flag | undefined;
    const seen = this.fields(node, at, "a file that begins with apiVersion", {
      apiVersion: (n, a) => {
        const v = this.text(n, a);
        if (v !== apiVersion) this.fail(a, `Must be ${apiVersion}.`);
      },
      flags: (n, a) => {
        const all = this.entries(n, a, "a mapping of keys and flags");
        for (const e of all) {
          if (e.name !== key) this.fail(e.key, `This page is of ${key} alone: a flag keeps its key.`);
          else flag = this.flag(key, e.value, e.at, e.key);
        }
        if (all.length === 0) this.fail(a, `Must have the flag ${key}.`);
      },
    });
    if (isMap(node) && !seen.has("apiVersion") && !seen.has("flags")) {
      // What is there is no file at all: its fields are not unknown, but at another place.
      this.problems.length = 0;
      this.fail(
        at,
        `Is no file yet: begin with apiVersion: ${apiVersion}, then flags:, then ${key}: with what is here below it.`,
      );
      return undefined;
    }
    if (!seen.has("apiVersion")) this.fail(at, `apiVersion is missing: begin with apiVersion: ${apiVersion}`);
    if (!seen.has("flags")) this.fail(at, `flags is missing: it holds the flag ${key}.`);
    return flag;
  }

  private flag(key: string, node: Node | null, at: Range, keyAt: Range): Flag {
    const f = create(FlagSchema, { key, bucketingVersion: BucketingVersion.BUCKETING_VERSION_2 });
    this.place("key", keyAt);
    const field = (name: string, read: (n: Node | null, at: Range) => void) => (n: Node | null, a: Range) => {
      this.place(name, a);
      read(n, a);
    };
    const seen = this.fields(node, at, "a flag", {
      description: field("description", (n, a) => (f.description = this.text(n, a))),
      owner: field("owner", (n, a) => (f.owner = this.text(n, a))),
      tags: field("tags", (n, a) => (f.tags = this.texts(n, a))),
      kind: field("kind", (n, a) => (f.kind = this.kind(n, a))),
      expectedLifetime: field("expected_lifetime", (n, a) => {
        f.expectedLifetime = readDuration(this.text(n, a));
        if (!f.expectedLifetime) this.fail(a, "Is not a duration: write it such as 12h or 30d.");
      }),
      metadata: field("metadata", (n, a) => {
        if (isMap(n)) f.metadata = this.json(n, a, "metadata") as JsonObject;
        else this.fail(a, "Must be a mapping of names and values.");
      }),
      type: field("type", (n, a) => (f.type = this.type(n, a))),
      enabled: field("enabled", (n, a) => (f.enabled = this.boolean(n, a))),
      variants: field("variants", (n, a) => {
        f.variants = this.entries(n, a, "a mapping, as {on: true, off: false}").map((e, i) => {
          this.place(`variants[${i}]`, [e.key[0], e.at[1]]);
          this.place(`variants[${i}].name`, e.key);
          return create(VariantSchema, { name: e.name, value: this.value(e.value, e.at, `variants[${i}].value`) });
        });
      }),
      offVariant: field("off_variant", (n, a) => (f.offVariant = this.text(n, a))),
      prerequisites: field("prerequisites", (n, a) => {
        f.prerequisites = this.items(n, a).map((item, i) => this.prerequisite(item.value, item.at, i));
      }),
      rules: field("rules", (n, a) => {
        f.rules = this.items(n, a).map((item, i) => this.rule(item.value, item.at, `rules[${i}]`));
      }),
      default: field("default_outcome", (n, a) => (f.defaultOutcome = this.outcome(n, a, "default_outcome"))),
      bucketingVersion: field("bucketing_version", (n, a) => (f.bucketingVersion = this.whole(n, a, 2, 3))),
      clientVisible: field("client_visible", (n, a) => (f.clientVisible = this.boolean(n, a))),
    });
    for (const [name, hint] of [
      ["type", "one of boolean, string, integer, double, object"],
      ["enabled", "true or false"],
      ["variants", "at least one, as {on: true, off: false}"],
    ] as const)
      if (isMap(node) && !seen.has(name)) this.fail(keyAt, `${name} is missing: ${hint}.`);
    this.pin(f);
    return f;
  }

  // A split's bucketing version is the flag's where it names none.
  private pin(f: Flag) {
    for (const o of [f.defaultOutcome, ...f.rules.map((r) => r.outcome)])
      if (o?.kind.case === "split" && o.kind.value.bucketingVersion === BucketingVersion.BUCKETING_VERSION_UNSPECIFIED)
        o.kind.value.bucketingVersion = f.bucketingVersion;
  }

  private kind(node: Node | null, at: Range): FlagKind {
    const name = this.text(node, at);
    const found = Object.entries(kindWords).find(([, words]) => words === name && words !== "");
    if (found) return Number(found[0]);
    this.fail(at, `Unknown kind ${name}: ${didYouMean(name, Object.values(kindWords).filter(Boolean))}`);
    return FlagKind.UNSPECIFIED;
  }

  private type(node: Node | null, at: Range): ValueType {
    const name = this.text(node, at);
    const found = typeNames.find(([, n]) => n === name);
    if (found) return found[0];
    this.fail(
      at,
      `Unknown type ${name}: ${didYouMean(
        name,
        typeNames.map(([, n]) => n),
      )}`,
    );
    return ValueType.UNSPECIFIED;
  }

  private prerequisite(node: Node | null, at: Range, i: number) {
    const p = create(PrerequisiteSchema);
    const path = `prerequisites[${i}]`;
    this.place(path, at);
    this.fields(node, at, "a prerequisite, as {flag: other, variants: [on]}", {
      flag: (n, a) => {
        this.place(`${path}.flag_key`, a);
        p.flagKey = this.text(n, a);
      },
      variants: (n, a) => {
        this.place(`${path}.variants`, a);
        p.variants = this.texts(n, a);
      },
    });
    return p;
  }

  private rule(node: Node | null, at: Range, path: string): Rule {
    const r = create(RuleSchema);
    this.place(path, at);
    this.fields(node, at, "a rule with an id, when and serve", {
      id: (n, a) => {
        this.place(`${path}.id`, a);
        r.id = this.text(n, a);
      },
      description: (n, a) => {
        this.place(`${path}.description`, a);
        r.description = this.text(n, a);
      },
      when: (n, a) => {
        this.place(`${path}.clauses`, a);
        r.clauses = this.items(n, a).map((item, i) => this.clause(item.value, item.at, `${path}.clauses[${i}]`));
      },
      expression: (n, a) => (r.expression = this.value(n, a, `${path}.expression`)),
      serve: (n, a) => (r.outcome = this.outcome(n, a, `${path}.outcome`)),
    });
    return r;
  }

  private clause(node: Node | null, at: Range, path: string): Clause {
    const c = create(ClauseSchema);
    this.place(path, at);
    let absent = false; // exists: false
    const entries = this.entries(node, at, "a clause, as {attribute: plan, in: [pro]}");
    for (const e of entries) {
      const o = operatorNamed(e.name);
      if (!o && e.name !== "attribute" && e.name !== "not") {
        const known = ["attribute", "not", ...operators.map((w) => w.name)];
        this.fail(e.key, `Unknown operator ${e.name}: ${didYouMean(e.name, known)}`);
      } else if (!this.given(e)) {
        // It is told.
      } else if (e.name === "attribute") {
        this.place(`${path}.attribute`, e.at);
        c.attribute = this.text(e.value, e.at);
      } else if (!o) {
        this.place(`${path}.negate`, e.at);
        c.negate = this.boolean(e.value, e.at);
      } else if (c.operator !== Operator.UNSPECIFIED) {
        this.fail(e.key, "A clause has one operator: make two clauses, which must then both hold.");
      } else {
        c.operator = o.operator;
        this.place(`${path}.operator`, e.key);
        this.place(`${path}.values`, e.at);
        if (o.operator === Operator.EXISTS) absent = !this.boolean(e.value, e.at);
        else c.values = this.clauseValues(e.value, e.at, `${path}.values`, o);
      }
    }
    if (isMap(node) && entries.every((e) => e.name === "attribute" || e.name === "not"))
      this.fail(at, `Has no operator: add one of ${operators.map((o) => o.name).join(", ")}.`);
    if (absent && c.negate) this.fail(at, "not: true with exists: false negates twice: write exists: true.");
    c.negate ||= absent;
    return c;
  }

  // One value, or a list of them.
  private clauseValues(node: Node | null, at: Range, path: string, o: OperatorWords) {
    const items = isSeq(node) ? this.items(node, at) : [{ value: node, at }];
    const texts = ["text", "version", "segment"].includes(o.operands);
    return items.map((item, i) => {
      const value = this.value(item.value, item.at, `${path}[${i}]`);
      const written = isScalar(item.value) ? (item.value.source ?? "") : "";
      if (!isScalar(item.value)) this.fail(item.at, "Must be a text, a number, true or false.");
      else if (texts && value.kind.case !== "stringValue" && !isNothing(item.value))
        this.fail(item.at, `Must be a text: write "${written}" in quotes.`);
      return value;
    });
  }

  private outcome(node: Node | null, at: Range, path: string): Outcome {
    this.place(path, at);
    if (isScalar(node)) {
      this.place(`${path}.variant`, at);
      return create(OutcomeSchema, { kind: { case: "variant", value: this.text(node, at) } });
    }
    const split = create(SplitSchema);
    let expression: Outcome | undefined;
    const seen = this.fields(node, at, "the name of a variant, or a mapping with split or expression", {
      split: (n, a) => {
        this.place(`${path}.split.variants`, a);
        split.variants = this.items(n, a).map((item, i) => {
          const w = create(WeightedVariantSchema);
          const here = `${path}.split.variants[${i}]`;
          this.place(here, item.at);
          const has = this.fields(item.value, item.at, "a share, as {variant: on, weight: 5}", {
            variant: (v, b) => {
              this.place(`${here}.variant`, b);
              w.variant = this.text(v, b);
            },
            weight: (v, b) => {
              this.place(`${here}.weight`, b);
              w.weight = this.whole(v, b, 0, maxWeight);
            },
          });
          if (isMap(item.value) && !has.has("weight"))
            this.fail(item.at, `weight is missing: a whole number from 0 to ${maxWeight}.`);
          return w;
        });
      },
      bucketBy: (n, a) => {
        this.place(`${path}.split.bucket_by`, a);
        split.bucketBy = this.text(n, a);
      },
      salt: (n, a) => (split.salt = this.text(n, a)),
      bucketingVersion: (n, a) => (split.bucketingVersion = this.whole(n, a, 2, 3)),
      expression: (n, a) => {
        const value = this.value(n, a, `${path}.expression`);
        expression = create(OutcomeSchema, { kind: { case: "expression", value } });
      },
    });
    if (expression && seen.size > 1)
      this.fail(at, "Has an expression and what belongs to a split: it is one or the other.");
    if (expression) return expression;
    if (isMap(node) && !seen.has("split"))
      this.fail(at, "split is missing, as [{variant: on, weight: 5}, {variant: off, weight: 95}].");
    return create(OutcomeSchema, { kind: { case: "split", value: split } });
  }
}
