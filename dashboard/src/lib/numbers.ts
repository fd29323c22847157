const compact = new Intl.NumberFormat("en", {
  notation: "compact",
  maximumFractionDigits: 1,
});
const plain = new Intl.NumberFormat("en");

export function count(n: number | bigint): string {
  const value = Number(n);
  return Math.abs(value) < 10000 ? plain.format(value) : compact.format(value);
}

// A number that is to be compared, to its last digit.
export function whole(n: number | bigint): string {
  return plain.format(n);
}

// A share of 1 in per cent, with as many digits as say something: what is not all or nothing never
// looks as if it were.
export function percent(share: number): string {
  const p = Number((share * 100).toPrecision(12)); // what sums of shares are off by is not told
  let digits = p === 0 || Math.abs(p) >= 10 ? 1 : Math.abs(p) >= 1 ? 2 : 3;
  while (digits < 3 && p !== 100 && Number(p.toFixed(digits)) === 100) digits++;
  const shown = Number(p.toFixed(digits));
  if (p > 0 && shown === 0) return "<0.001%";
  if (p < 100 && shown === 100) return ">99.999%";
  return `${shown}%`;
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${plain.format(n)} ${n === 1 ? one : many}`;
}
