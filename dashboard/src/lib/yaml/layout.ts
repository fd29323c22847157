// Lays YAML out as `tidegate export` does (internal/manifest): short lists and mappings on one
// line, names and texts in quotes only where a reader could take them for something else.

const pageWidth = 100;
const maxInteger = 2 ** 53 - 1;

export type Node =
  | { kind: "scalar"; inline: string; block: string }
  | { kind: "list"; items: Node[]; flow: boolean }
  | { kind: "mapping"; entries: [key: string, value: Node][]; flow: boolean };

export const text = (s: string): Node => ({ kind: "scalar", inline: quote(s), block: literal(s) });
export const inline = (s: string): Node => ({ kind: "scalar", inline: s, block: "" });
export const listOf = (items: Node[], flow = false): Node => ({ kind: "list", items, flow });

// A mapping of those entries that have a value.
export function mapping(entries: [string, Node | undefined][], flow = false): Node {
  return { kind: "mapping", flow, entries: entries.flatMap(([k, v]) => (v ? [[quote(k), v] as [string, Node]] : [])) };
}

export function number(v: number): Node {
  if (Number.isInteger(v) && Math.abs(v) <= maxInteger) return inline(String(v));
  const exponent = Math.floor(Math.log10(Math.abs(v)));
  if (exponent >= -4 && exponent < 6) return inline(String(v));
  const [mantissa = "", e = "0"] = v.toExponential().split("e");
  const digits = e.replace(/^[+-]/, "").padStart(2, "0");
  return inline(`${mantissa.includes(".") ? mantissa : `${mantissa}.0`}e${e.startsWith("-") ? "-" : "+"}${digits}`);
}

export function write(root: Node): string {
  return root.kind === "mapping" ? writeMapping(root, 0) : `${line(root)}\n`;
}

const width = (s: string) => [...s].length;

function line(n: Node): string {
  switch (n.kind) {
    case "scalar":
      return n.inline;
    case "list":
      return `[${n.items.map(line).join(", ")}]`;
    case "mapping":
      return `{${n.entries.map(([k, v]) => `${k}: ${line(v)}`).join(", ")}}`;
  }
}

function fitsOneLine(n: Node): boolean {
  switch (n.kind) {
    case "scalar":
      return n.block === "";
    case "list":
      return n.flow || n.items.length === 0;
    case "mapping":
      return n.flow || n.entries.length === 0;
  }
}

type Mapping = Extract<Node, { kind: "mapping" }>;

function writeMapping(m: Mapping, indent: number): string {
  return m.entries
    .map(([k, v], i) => `${i > 0 ? " ".repeat(indent) : ""}${k}:${writeValue(v, indent, indent + width(k) + 1)}`)
    .join("");
}

function writeValue(n: Node, indent: number, used: number): string {
  if (fitsOneLine(n)) {
    const all = line(n);
    if (n.kind === "scalar" || all.length === 2 || used + 1 + width(all) <= pageWidth) return ` ${all}\n`;
  }
  const inner = " ".repeat(indent + 2);
  switch (n.kind) {
    case "scalar":
      return writeBlock(n.block, inner);
    case "list":
      return `\n${n.items.map((item) => `${inner}-${writeItem(item, indent + 2)}`).join("")}`;
    case "mapping":
      return `\n${inner}${writeMapping(n, indent + 2)}`;
  }
}

function writeItem(n: Node, indent: number): string {
  if (n.kind !== "mapping" || (fitsOneLine(n) && indent + 2 + width(line(n)) <= pageWidth))
    return writeValue(n, indent, indent + 1);
  return ` ${writeMapping(n, indent + 2)}`;
}

function writeBlock(s: string, inner: string): string {
  const head = s.endsWith("\n") ? " |\n" : " |-\n";
  const body = s.replace(/\n$/, "").split("\n");
  return head + body.map((l) => `${l === "" ? "" : inner}${l}\n`).join("");
}

const printable = (s: string) => /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]*$/u.test(s);

// The text, where it can be written as a block of lines without any doubt.
function literal(s: string): string {
  const body = s.replace(/\n$/, "");
  if (!body.includes("\n") || body.startsWith("\n") || body.endsWith("\n")) return "";
  const ok = body
    .split("\n")
    .every((l, i) => (l === l.trim() || (i > 0 && l === l.replace(/ +$/, ""))) && printable(l));
  return ok ? s : "";
}

export function quote(s: string): string {
  if (isPlain(s)) return s;
  if (/["\\]/.test(s) && printable(s)) return `'${s.replaceAll("'", "''")}'`;
  let out = "";
  for (const c of s) {
    const point = c.codePointAt(0) ?? 0;
    if (c === '"' || c === "\\") out += `\\${c}`;
    else if (c === "\n") out += "\\n";
    else if (c === "\t") out += "\\t";
    else if (printable(c)) out += c;
    else if (point > 0xffff) out += `\\U${point.toString(16).padStart(8, "0")}`;
    else out += `\\u${point.toString(16).padStart(4, "0")}`;
  }
  return `"${out}"`;
}

const words = new Set(["", "true", "false", "null", "yes", "no", "on", "off", "y", "n"]);

function isPlain(s: string): boolean {
  return !words.has(s.toLowerCase()) && /^[\p{L}_/$]([\p{L}_/$0-9.\-+@]| (?!$))*$/u.test(s);
}
