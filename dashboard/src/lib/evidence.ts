const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

// An e-value in words: evidence may grow beyond any number that one can read.
export function evidenceNumber(e: number): string {
  if (e < 0.1) return "0";
  if (e < 10) return String(Number(e.toFixed(1)));
  if (e < 100_000) return plain.format(e);
  return e < 1e15 ? compact.format(e) : "over 1,000 trillion";
}

// Evidence on its way to a threshold, both as natural logarithms of e-values.
export type Evidence = {
  // From 0, none, to 1, the threshold: on a logarithmic scale.
  position: number;
  reached: boolean;
  // "8.3 of 1,000".
  words: string;
};

export function evidence(logE: number | undefined, logThreshold: number): Evidence | undefined {
  if (logE === undefined || !(logThreshold > 0)) return undefined;
  return {
    position: Math.min(1, Math.max(0, logE / logThreshold)),
    reached: logE >= logThreshold,
    words: far(logE, logThreshold)
      ? `far over ${evidenceNumber(Math.exp(logThreshold))}`
      : `${evidenceNumber(Math.exp(logE))} of ${evidenceNumber(Math.exp(logThreshold))}`,
  };
}

// A thousand times what is needed: by how much more says nothing to anybody.
function far(logE: number, logThreshold: number): boolean {
  return logE - logThreshold > Math.log(1000);
}

// The powers of ten between none and the threshold, as places on the scale.
export function ticks(logThreshold: number): number[] {
  const out: number[] = [];
  for (let log = Math.LN10; log < logThreshold * 0.97; log += Math.LN10) out.push(log / logThreshold);
  return out;
}
