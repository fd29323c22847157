import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readDuration } from "./duration";
import { placeOf, readFlag } from "./flag-read";
import { writeFlag } from "./flag-write";

// What `tidegate export` writes: the golden files of internal/manifest, one flag at a time.
const golden = join(__dirname, "../../../../internal/manifest/testdata/valid");

function flagsOf(file: string): [key: string, text: string][] {
  const text = readFileSync(join(golden, file), "utf8");
  const flags = /^flags:\n((?: .*\n|\n)+)/m.exec(text)?.[1] ?? "";
  return flags
    .split(/^(?= {2}[^ \n])/m)
    .filter((block) => block.trim() !== "")
    .map((block) => [/^ {2}("?)([^":]+)\1:/.exec(block)?.[2] ?? "", `apiVersion: tidegate/v1\nflags:\n${block}`]);
}

const files = readdirSync(golden).filter((f) => f.endsWith(".canonical"));
const all = files.flatMap((file) => flagsOf(file).map(([key, text]) => [file, key, text] as const));

it("there are flags to read", () => expect(all.length).toBeGreaterThan(5));

describe.each(all)("%s: %s", (_, key, text) => {
  it("is read, and written as it was", () => {
    const { flag, problems } = readFlag(text, key);
    expect(problems).toEqual([]);
    expect(flag && writeFlag(flag)).toBe(text);
  });
});

const text = `apiVersion: tidegate/v1
flags:
  k:
    type: boolean
    enabled: true
    variants: {on: true, off: false}
    rules:
      - id: staff
        when:
          - {attribute: email, endsWith: "@x.io"}
          - {attribute: plan, in: [pro, 7]}
        serve:
          split:
            - {variant: on, weight: 5}
            - {variant: off, weight: 95}
    default: off
`;

it.each([
  ["rules[0].clauses[1].values[1]", "7"],
  ["flag.rules[0].clauses[0].values[0]", '"@x.io"'],
  ["flags[0].flag.rules[0].outcome.split.variants[1].weight", "95"],
  ["flags[k].rules[0].id", "staff"],
  ["variants[1].name", "off"],
  ["variants[0].value", "true"],
  ["default_outcome.variant", "off"],
  ["rules[0].clauses[0].operator", "endsWith"],
  // The nearest that is written down.
  ["rules[0].outcome.split.variants[0].nothing.there", "{variant: on, weight: 5}"],
  ["off_variant", "k"],
])("%s is at %s", (path, want) => {
  const { places, problems } = readFlag(text, "k");
  expect(problems).toEqual([]);
  const at = placeOf(places, path);
  expect(at && text.slice(at[0], at[1]).trim()).toBe(want);
});

it.each([
  ["enabled: true", "enabeld: true", "enabeld", "Unknown field enabeld: did you mean enabled?"],
  ["endsWith", "endWith", "endWith", "Unknown operator endWith: did you mean endsWith?"],
  ["weight: 95", "weight: many", "many", "Must be a whole number from 0 to 2147483647."],
  ["  k:", "  other:", "other", "This page is of k alone: a flag keeps its key."],
  ["type: boolean", "type: bool", "bool", "Unknown type bool: there are boolean, string, integer, double, object."],
  ["    type: boolean\n", "", "k", "type is missing: one of boolean, string, integer, double, object."],
  ["[pro, 7]", "[pro, 0x7]", "0x7", 'Readers of YAML disagree on 0x7: write a number as in JSON, or "0x7" for a text.'],
])("%s written as %s is told where it stands", (from, to, at, message) => {
  const broken = text.replace(from, to);
  const { problems, flag } = readFlag(broken, "k");
  expect(flag).toBeUndefined();
  expect(problems.map((p) => [broken.slice(...p.range), p.message])).toContainEqual([at, message]);
});

it("tells where the YAML itself is broken", () => {
  const broken = text.replace("{on: true, off: false}", "{on: true, off: false");
  expect(readFlag(broken, "k").problems.length).toBeGreaterThan(0);
});

it.each([
  ["7d", 7n * 86400n, 0],
  ["1h30m", 5400n, 0],
  ["1.5s", 1n, 500_000_000],
  ["250ms", 0n, 250_000_000],
])("reads the duration %s", (s, seconds, nanos) => {
  expect(readDuration(s)).toMatchObject({ seconds, nanos });
});

it.each(["", "7", "d", "-1h", "1 h", "1.5d", "36501d", "2562048h", "99999999999999999999h"])("%j is no duration", (s) =>
  expect(readDuration(s)).toBeUndefined(),
);

it("what is wrong is told from the top; without its envelope a flag is told so, and nothing else", () => {
  const whole = readFlag(
    'flags:\n  k:\n    type: boolean\n    enabled: true\n    default: "on"\n    ownr: web\n    variants: {"on": true}\n    offVariant: "on"\n',
    "k",
  );
  expect(whole.problems.map((p) => p.message)).toEqual([
    "apiVersion is missing: begin with apiVersion: tidegate/v1",
    "Unknown field ownr: did you mean owner?",
  ]);
  const bare = readFlag('type: boolean\nenabled: true\nvariants: {"on": true}\noffVariant: "on"\n', "k");
  expect(bare.flag).toBeUndefined();
  expect(bare.problems.map((p) => p.message)).toEqual([
    "Is no file yet: begin with apiVersion: tidegate/v1, then flags:, then k: with what is here below it.",
  ]);
});
