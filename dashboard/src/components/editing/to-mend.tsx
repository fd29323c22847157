import { Words } from "../words";
import type { Check } from "./use-check";

// Where something is wrong, and what.
export function ToMend({ where, problem }: Check["toMend"][number]) {
  return (
    <span>
      <Words words={where} />
      {where.length > 0 && ": "}
      {problem}.
    </span>
  );
}
