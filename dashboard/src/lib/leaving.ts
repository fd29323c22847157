// Asked before the address changes: a page with unsaved work may want to ask first. It returns
// whether it takes care of going there itself.
type Ask = (to: string, go: () => void) => boolean;

let asks: Ask | undefined;

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

// Goes without asking: what was unsaved is saved, or gone.
export function withoutAsking(go: () => void) {
  const was = asks;
  asks = undefined;
  try {
    go();
  } finally {
    asks ??= was;
  }
}
