// A sentence of which some parts are names or values, to be shown as such.
export type Words = (string | { code: string })[];

export const code = (text: string): { code: string } => ({ code: text });

// The same as plain text; names stand in backticks.
export function plain(words: Words): string {
  return words.map((w) => (typeof w === "string" ? w : `\`${w.code}\``)).join("");
}

// A part without its mark.
export const text = (word: Words[number]): string => (typeof word === "string" ? word : word.code);

// As a sentence begins.
export const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

// "a", "a or b", "a, b or c"; of more than `most`, how many others there are.
export function list(items: Words[], last: string, most = 4): Words {
  const shown = items.length > most ? items.slice(0, most - 1) : items;
  const rest = items.length - shown.length;
  const all: Words[] = rest > 0 ? [...shown, [`${rest} others`]] : shown;
  return all.flatMap((item, i) => (i === 0 ? item : [i === all.length - 1 ? ` ${last} ` : ", ", ...item]));
}
