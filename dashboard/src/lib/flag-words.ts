import type { FlagSummary } from "../gen/tidegate/control/v1/watch_service_pb";
import { FlagKind, ValueType } from "../gen/tidegate/flag/v1/flag_pb";
import { percent, plural } from "./numbers";
import { code, list, text, type Words } from "./words";

export const kindWords: Record<FlagKind, string> = {
  [FlagKind.UNSPECIFIED]: "",
  [FlagKind.RELEASE]: "release",
  [FlagKind.EXPERIMENT]: "experiment",
  [FlagKind.OPERATIONAL]: "operational",
  [FlagKind.PERMISSION]: "permission",
};

// What a kind is for.
export const kindMeaning: Record<FlagKind, string> = {
  [FlagKind.UNSPECIFIED]: "What it is for says how long it is to be there.",
  [FlagKind.RELEASE]: "Brings a change to everyone, and is then removed from the code.",
  [FlagKind.EXPERIMENT]: "Compares variants, until one of them has won.",
  [FlagKind.OPERATIONAL]: "Turns something off, or down, in an emergency.",
  [FlagKind.PERMISSION]: "Gives something to those who may have it.",
};

export const typeWords: Record<ValueType, string> = {
  [ValueType.UNSPECIFIED]: "",
  [ValueType.BOOLEAN]: "boolean",
  [ValueType.STRING]: "string",
  [ValueType.INTEGER]: "integer",
  [ValueType.DOUBLE]: "number",
  [ValueType.OBJECT]: "object",
};

// A share of a split; the whole is 1.
export type Share = { variant: string; share: number };

export function shares(split: { variant: string; weight: number }[]): Share[] {
  const total = split.reduce((sum, v) => sum + v.weight, 0);
  return split.map((v) => ({
    variant: v.variant,
    share: total === 0 ? 0 : v.weight / total,
  }));
}

// What a flag serves where no rule matches. Empty: the caller's default.
export function served(f: FlagSummary): Share[] {
  if (!f.enabled) return f.offVariant ? [{ variant: f.offVariant, share: 1 }] : [];
  if (f.defaultVariant) return [{ variant: f.defaultVariant, share: 1 }];
  return shares(f.defaultSplit).filter((s) => s.share > 0);
}

// "on", or "5% on, 95% off".
export function sharesWords(parts: Share[]): string {
  if (parts.length === 0) return "the caller's default";
  return parts.map((p) => (p.share === 1 ? p.variant : `${percent(p.share)} ${p.variant}`)).join(", ");
}

// What a flag serves, in a few words.
export function servesWords(f: FlagSummary): string {
  const words = sharesWords(served(f));
  if (!f.enabled) return words;
  const after = f.rules > 0 ? `, after ${plural(f.rules, "rule")}` : "";
  return words + after + whereWords(f).map(text).join("");
}

// Under which condition a flag serves what it says, to be put after that.
export function whereWords(f: Pick<FlagSummary, "prerequisites" | "offVariant">): Words {
  if (f.prerequisites.length === 0) return [];
  const keys = list(
    f.prerequisites.map((key) => [code(key)]),
    "and",
  );
  const hold = f.prerequisites.length === 1 ? " is on and serves what it must" : " are on and serve what they must";
  return [", where ", ...keys, hold, "; elsewhere ", f.offVariant ? code(f.offVariant) : "the caller's default"];
}

// The colour of a variant, by its place in the flag; -1: it has none, as the caller's default.
export function seriesColor(place: number): string {
  if (place < 0) return "var(--border-strong)";
  return `var(--series-${(place % 6) + 1})`;
}
