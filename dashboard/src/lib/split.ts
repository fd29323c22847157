// The shares of a split, in per cent as people type them, and its weights.

export type Weighted = { variant: string; weight: number };

const maxWeight = 2 ** 31 - 1;

// The percentages of weights, as texts that say exactly as much as is needed.
export function percentages(variants: Weighted[]): string[] {
  const total = variants.reduce((sum, v) => sum + v.weight, 0);
  return variants.map((v) => (total === 0 ? "0" : String(Number(((v.weight / total) * 100).toFixed(6)))));
}

// Reads percentages: the number, or what is wrong with it.
export function readPercent(text: string): number | undefined {
  if (!/^\s*(\d+\.?\d*|\.\d+)\s*%?\s*$/.test(text)) return undefined;
  const n = Number.parseFloat(text);
  return n >= 0 && n <= 100 ? n : undefined;
}

// The sum, without the noise of fractions; undefined if one cannot be read.
export function sumOf(texts: string[]): number | undefined {
  let sum = 0;
  for (const t of texts) {
    const p = readPercent(t);
    if (p === undefined) return undefined;
    sum += p;
  }
  return Number(sum.toFixed(6));
}

// The weights of percentages that add up to 100. The total stays what it was where that can say
// them, else it is the smallest power of ten that can: a total that grows moves nobody, as the
// borders stay where they are.
export function weightsOf(texts: string[], total: number): number[] | undefined {
  if (sumOf(texts) !== 100) return undefined;
  const shares = texts.map((t) => readPercent(t) ?? 0);
  for (const candidate of [total, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000]) {
    if (candidate < 1 || candidate > maxWeight) continue;
    const weights = shares.map((p) => (p * candidate) / 100);
    if (weights.every((w) => Math.abs(w - Math.round(w)) < 1e-6)) return weights.map(Math.round);
  }
  return undefined;
}

// Why there are no weights of percentages.
export function sharesProblem(texts: string[], total: number): string | undefined {
  const sum = sumOf(texts);
  if (sum === undefined) return "Each share must be a number from 0 to 100.";
  if (sum !== 100) return `These add up to ${sum}%, not to 100%.`;
  return weightsOf(texts, total) ? undefined : "A share has at most five digits after the point.";
}

// With one percentage changed; of two, the other one is what remains.
export function withPercent(texts: string[], at: number, text: string): string[] {
  const next = texts.with(at, text);
  const p = readPercent(text);
  if (texts.length === 2 && p !== undefined) next[1 - at] = String(Number((100 - p).toFixed(6)));
  return next;
}

// With what is missing of 100 given to one of them.
export function withRest(texts: string[], at: number): string[] | undefined {
  const others = sumOf(texts.toSpliced(at, 1));
  if (others === undefined || others > 100) return undefined;
  return texts.with(at, String(Number((100 - others).toFixed(6))));
}
