// How long what a dialog did may take to show: a flag's page goes once the server tells of it.
const patience = 10_000;

const lost = () => document.activeElement === null || document.activeElement === document.body;

// Whoever closes a dialog goes on from where it was opened: the browser sees to that. Where this
// is gone, or goes with what was done, it is from the page's content, in place of the very top.
export function keepFocus() {
  const mend = () => {
    if (lost() && !document.querySelector("dialog[open]"))
      document.getElementById("main")?.focus({ preventScroll: true });
  };
  // The browser takes the focus from what is disabled with the next frame.
  const look = () => requestAnimationFrame(() => setTimeout(mend));
  const changes = new MutationObserver(look);
  changes.observe(document.body, { childList: true, subtree: true, attributeFilter: ["disabled"] });
  // Who goes on, goes where they like.
  const over = () => {
    changes.disconnect();
    clearTimeout(end);
    for (const event of ["pointerdown", "keydown"]) document.removeEventListener(event, over, true);
  };
  const end = setTimeout(over, patience);
  for (const event of ["pointerdown", "keydown"]) document.addEventListener(event, over, true);
  look();
}
