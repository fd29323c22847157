import { useSyncExternalStore } from "react";

// The address that the app shows. It is the browser's, except while somebody who goes back or
// forward is asked about unsaved work: the browser has moved by then, and is brought back.

// Asked before the address changes: a page with unsaved work may want to ask first. It returns
// whether it takes care of going there itself.
type Ask = (to: string, go: () => void) => boolean;

let asks: Ask | undefined;
let shown = here();
// Which entry of the tab's history is shown; each has its number in its state.
let at = 0;
let passing = false;
let returning: ReturnType<typeof setTimeout> | undefined;
const listeners = new Set<() => void>();

function here() {
  return { path: window.location.pathname, search: window.location.search };
}

function show() {
  shown = here();
  for (const listener of listeners) listener();
}

function numberOf(state: unknown): number | undefined {
  const n = (state as { entry?: unknown } | null)?.entry;
  return typeof n === "number" ? n : undefined;
}

// Begins to follow the browser's history; returns what ends it.
export function followHistory(): () => void {
  at = numberOf(history.state) ?? 0;
  history.replaceState({ entry: at }, "");
  show();
  window.addEventListener("popstate", moved);
  return () => window.removeEventListener("popstate", moved);
}

function moved(event: PopStateEvent) {
  const to = numberOf(event.state);
  if (to === undefined) {
    // A link to a part of the page has made an entry.
    history.replaceState({ entry: ++at }, "");
    return show();
  }
  if (to === at) return show();
  const go = () => {
    passing = true;
    history.go(to - at);
  };
  if (!passing && asks?.(window.location.pathname + window.location.search, go)) return comeBack();
  passing = false;
  at = to;
  show();
}

// Brings the browser back to what is shown, once it has come to rest: who goes back twice in
// a hurry is brought back once.
function comeBack() {
  clearTimeout(returning);
  returning = setTimeout(() => {
    const away = at - (numberOf(history.state) ?? at);
    if (away !== 0) history.go(away);
  }, 20);
}

function navigate(to: string, o: { replace?: boolean } = {}) {
  if (o.replace) history.replaceState({ entry: at }, "", to);
  else history.pushState({ entry: ++at }, "", to);
  show();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

// For wouter's Router: where one is, and the way elsewhere.
export function useAddress(): [string, typeof navigate] {
  return [useSyncExternalStore(subscribe, () => shown.path), navigate];
}

export function useAddressSearch(): string {
  return useSyncExternalStore(subscribe, () => shown.search);
}

// Sets who is asked; returns what ends it.
export function beforeLeaving(ask: Ask): () => void {
  asks = ask;
  return () => {
    if (asks === ask) asks = undefined;
  };
}

// For wouter's Router: every navigation by a link or by code passes here.
export function aroundNavigation<O>(navigate: (to: string, options?: O) => void, to: string, options?: O) {
  if (!asks?.(to, () => navigate(to, options))) navigate(to, options);
}

// Goes elsewhere when what was unsaved has been dealt with.
export function withoutAsking(go: () => void) {
  const asked = asks;
  asks = undefined;
  go();
  asks = asked;
}
