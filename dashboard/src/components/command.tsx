import "./command.css";
import { CopyButton } from "./basics";

// Something to be typed into a terminal: all of it can be copied.
export function Command({ children, label = "Copy the command" }: { children: string; label?: string }) {
  return (
    <div className="command">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <pre tabIndex={0}>
        <code>{children}</code>
      </pre>
      <CopyButton text={children} label={label} />
    </div>
  );
}
