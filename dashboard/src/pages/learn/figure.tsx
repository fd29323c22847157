import type { ReactNode } from "react";

// A drawing and what it says. On narrow screens it scrolls.
export function Figure({ caption, children }: { caption: string; children: ReactNode }) {
  return (
    <figure>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <div className="scroll-x" tabIndex={0} role="group" aria-label={caption}>
        {children}
      </div>
      <figcaption>{caption}</figcaption>
    </figure>
  );
}
