// Figures in a text of the decider as the page writes them. Its texts are part of what is stored
// and replayed bit for bit, and read in terminals: "1.6x", "-0.4pp".
const figure = /(?<![\w.-])([+-]?)(\d+(?:\.\d+)?(?:e[+-]?\d+)?)(x|pp|ms|s)(?![\w-])/g;

export function figures(text: string): string {
  return text.replace(
    figure,
    (_, sign: string, n: string, unit: string) => `${sign === "-" ? "−" : sign}${n}${unit === "x" ? "×" : ` ${unit}`}`,
  );
}

// Why something was changed: people's reasons as they wrote them.
export function reasonWords(e: { actor: string; reason: string }): string {
  return e.actor === "decider" ? figures(e.reason) : e.reason;
}
