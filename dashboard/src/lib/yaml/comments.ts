import { CST, Lexer } from "yaml";

// Whether a text says something to people alone.
export function hasComments(text: string): boolean {
  let scalar = false; // what comes next is a value, which may begin so too
  for (const lexeme of new Lexer().lex(text)) {
    if (!scalar && CST.tokenType(lexeme) === "comment") return true;
    scalar = lexeme === CST.SCALAR;
  }
  return false;
}
