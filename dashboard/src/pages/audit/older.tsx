import { useEffect, useRef } from "react";
import { Button } from "../../components/basics";

// Loads what is older when one comes near the end, or asks for it; after a failure when one asks.
export function Older({ busy, failed, more }: { busy: boolean; failed: boolean; more: () => void }) {
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (busy || failed || !end.current) return;
    const seen = new IntersectionObserver((all) => all.some((e) => e.isIntersecting) && more(), {
      rootMargin: "600px",
    });
    seen.observe(end.current);
    return () => seen.disconnect();
  }, [busy, failed, more]);
  return (
    <div ref={end} className="end">
      <Button small disabled={busy} onClick={more}>
        {busy ? "Loading…" : "Show older entries"}
      </Button>
    </div>
  );
}
