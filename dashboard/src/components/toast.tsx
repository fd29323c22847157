import { AlertTriangle, CheckCircle2, Clock3, type LucideIcon, X, XCircle } from "lucide-react";
import { createContext, type ReactNode, useCallback, useContext, useEffect, useState } from "react";
import { IconButton } from "./basics";

// "waits": it is well so far, and there is something to wait for.
type Tone = "good" | "waits" | "warn" | "bad";
type Toast = { id: number; tone: Tone; content: ReactNode };
type Say = (tone: "good" | "bad", content: ReactNode) => void;

const Toasts = createContext<Say>(() => {});

export function useToast(): Say {
  return useContext(Toasts);
}

const Toned = createContext<(tone: Tone) => void>(() => {});

// How well it is with what the message that this is a part of tells of.
export function useTone(tone: Tone) {
  const set = useContext(Toned);
  useEffect(() => {
    set(tone);
  }, [set, tone]);
}

const icons: Record<Tone, LucideIcon> = { good: CheckCircle2, waits: Clock3, warn: AlertTriangle, bad: XCircle };
const passes = (t: Toast) => t.tone === "good" || t.tone === "waits";
const most = 4;
let last = 0;

// Without the oldest that goes by itself anyway, where there are too many.
function fitting(all: Toast[]): Toast[] {
  const oldest = all.length > most ? all.find(passes) : undefined;
  return oldest ? all.filter((t) => t !== oldest) : all;
}

// Short messages in a corner. Good news goes by itself, soon after it is whole; what somebody has to
// know stays until it is closed.
export function ToastProvider({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<Toast[]>([]);
  const close = useCallback((id: number) => setToasts((all) => all.filter((t) => t.id !== id)), []);
  const tone = useCallback(
    (id: number, tone: Tone) => setToasts((all) => all.map((t) => (t.id === id ? { ...t, tone } : t))),
    [],
  );
  const say = useCallback<Say>((tone, content) => {
    const id = ++last;
    setToasts((all) => fitting([...all, { id, tone, content }]));
  }, []);
  return (
    <Toasts.Provider value={say}>
      {children}
      <div className="toasts" role="status" aria-live="polite">
        {toasts.map((t) => (
          <Shown key={t.id} toast={t} close={close} setTone={tone} />
        ))}
      </div>
    </Toasts.Provider>
  );
}

function Shown({
  toast: { id, tone, content },
  close,
  setTone,
}: {
  toast: Toast;
  close: (id: number) => void;
  setTone: (id: number, tone: Tone) => void;
}) {
  const Icon = icons[tone];
  const set = useCallback((tone: Tone) => setTone(id, tone), [id, setTone]);
  useEffect(() => {
    if (tone !== "good") return;
    const timer = setTimeout(() => close(id), 6000);
    return () => clearTimeout(timer);
  }, [id, tone, close]);
  return (
    <div className={`toast ${tone}`}>
      <Icon size={17} aria-hidden />
      <div style={{ flex: 1, minWidth: 0 }}>
        <Toned.Provider value={set}>{content}</Toned.Provider>
      </div>
      <IconButton icon={X} label="Close" small onClick={() => close(id)} />
    </div>
  );
}
