import { expect, test } from "vitest";
import { figures, reasonWords } from "./figures";

test("figures of the decider are written as the page writes its own", () => {
  expect(figures("Held at 1%: errors 1.4x (0.048 to 7.1), need below 5x; about 10 s at this traffic")).toBe(
    "Held at 1%: errors 1.4× (0.048 to 7.1), need below 5×; about 10 s at this traffic",
  );
  expect(figures("fails +1.1pp (-0.4 to +2), the limit is -0.5pp; latency +12ms, need below +1.5s")).toBe(
    "fails +1.1 pp (-0.4 to +2), the limit is −0.5 pp; latency +12 ms, need below +1.5 s",
  );
  expect(figures("errors 2e-5x, the limit is 1.5x; 19 of 81 exposures against 40 of 1496")).toBe(
    "errors 2e-5×, the limit is 1.5×; 19 of 81 exposures against 40 of 1496",
  );
});

test("names and people's words stay as they are", () => {
  for (const text of ["retry-5x is not known", "p99-2s 0x1f", "v1.5x-beta", "the 10xers"])
    expect(figures(text)).toBe(text);
  expect(reasonWords({ actor: "ada", reason: "2x the load" })).toBe("2x the load");
  expect(reasonWords({ actor: "decider", reason: "errors 2x" })).toBe("errors 2×");
});
