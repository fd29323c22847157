import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type JsonObject, toJson } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { FlagSchema } from "../../gen/tidegate/flag/v1/flag_pb";
import { readFlag } from "./flag-read";

// What internal/manifest makes of lines of a flag (its TestAlike): this reader makes the same.
const table = readFileSync(join(__dirname, "../../../../internal/manifest/testdata/alike.txt"), "utf8")
  .split("\n")
  .filter((line) => line !== "" && !line.startsWith("#"));
const cases = table.flatMap((line, i) => (/^[=!] /.test(line) ? [[table[i - 1] ?? "", line] as const] : []));

const read = (line: string) =>
  readFlag(
    `apiVersion: tidegate/v1\nflags:\n  k:\n    type: object\n    enabled: true\n    variants: {a: {}}\n    ${line}\n`,
    "k",
  );
const meaning = (line: string) => {
  const { flag, problems } = read(line);
  expect(problems).toEqual([]);
  return flag && (toJson(FlagSchema, flag) as JsonObject);
};

it("there are cases to read", () => expect(cases.length).toBeGreaterThan(80));

it.each(cases)("%s", (line, answer) => {
  if (answer.startsWith("=")) expect(meaning(line)).toEqual({ ...meaning(""), ...JSON.parse(answer.slice(2)) });
  else expect(read(line).problems.length, `refused there: ${answer}`).toBeGreaterThan(0);
});
