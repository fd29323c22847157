import { type ComponentProps, type ReactNode, useId, useRef } from "react";

// A button and what it opens, placed beside it. Arrow keys walk; the platform closes it by
// Escape and by a click elsewhere.
export function Menu({
  button,
  children,
  side = "below",
}: {
  button: (props: ComponentProps<"button">) => ReactNode;
  children: ReactNode;
  side?: "below" | "above";
}) {
  const id = useId();
  const menu = useRef<HTMLDivElement>(null);
  const opener = useRef<HTMLElement>(null);

  function place() {
    const [m, o] = [menu.current, opener.current];
    if (!m || !o) return;
    const at = o.getBoundingClientRect();
    m.style.minWidth = `${Math.max(200, at.width)}px`;
    m.style.left = `${Math.max(8, Math.min(at.left, window.innerWidth - m.offsetWidth - 8))}px`;
    const above = side === "above" || at.bottom + m.offsetHeight > window.innerHeight - 8;
    m.style.top = `${above ? Math.max(8, at.top - m.offsetHeight - 4) : at.bottom + 4}px`;
  }

  function walk(event: React.KeyboardEvent) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || !menu.current) return;
    event.preventDefault();
    const all = [...menu.current.querySelectorAll<HTMLElement>("button:not(:disabled), a")];
    const now = all.indexOf(document.activeElement as HTMLElement);
    all[(now + step + all.length) % all.length]?.focus();
  }

  return (
    <>
      {button({
        popoverTarget: id,
        ref: opener as React.Ref<HTMLButtonElement>,
        onKeyDown: (e) => {
          if (e.key === "ArrowDown") {
            e.preventDefault();
            menu.current?.showPopover();
          }
        },
      })}
      <div
        ref={menu}
        id={id}
        popover="auto"
        className="menu"
        onKeyDown={walk}
        onClick={(e) => {
          if ((e.target as HTMLElement).closest("button, a")) menu.current?.hidePopover();
        }}
        onToggle={(e) => {
          if (e.newState !== "open") return;
          place();
          menu.current?.querySelector<HTMLElement>("button:not(:disabled), a")?.focus();
        }}
      >
        {children}
      </div>
    </>
  );
}
