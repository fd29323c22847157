const compact = new Intl.NumberFormat("en", {
  notation: "compact",
  maximumFractionDigits: 1,
});
const plain = new Intl.NumberFormat("en");

export function count(n: number | bigint): string {
  const value = Number(n);
  return Math.abs(value) < 10000 ? plain.format(value) : compact.format(value);
}

// A share of 1 in per cent, with as many digits as say something.
export function percent(share: number): string {
  const p = share * 100;
  const digits = p === 0 || Math.abs(p) >= 10 ? 1 : Math.abs(p) >= 1 ? 2 : 3;
  return `${Number(p.toFixed(digits))}%`;
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${plain.format(n)} ${n === 1 ? one : many}`;
}
