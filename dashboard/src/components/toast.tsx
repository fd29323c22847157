import { CheckCircle2, X, XCircle } from "lucide-react";
import { createContext, type ReactNode, useCallback, useContext, useEffect, useState } from "react";
import { IconButton } from "./basics";

type Toast = { id: number; tone: "good" | "bad"; content: ReactNode };
type Say = (tone: Toast["tone"], content: ReactNode) => void;

const Toasts = createContext<Say>(() => {});

export function useToast(): Say {
  return useContext(Toasts);
}

const Held = createContext<(held: boolean) => void>(() => {});

// Keeps the message that this is a part of for longer: there is something to wait for.
export function useHold(held: boolean) {
  const hold = useContext(Held);
  useEffect(() => {
    hold(held);
  }, [hold, held]);
}

let last = 0;

// Short messages in a corner. Good news goes by itself, soon after it is whole; bad news stays
// until it is closed.
export function ToastProvider({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<Toast[]>([]);
  const close = useCallback((id: number) => setToasts((all) => all.filter((t) => t.id !== id)), []);
  const say = useCallback<Say>((tone, content) => {
    const id = ++last;
    setToasts((all) => [...all.slice(-3), { id, tone, content }]);
  }, []);
  return (
    <Toasts.Provider value={say}>
      {children}
      <div className="toasts" role="status" aria-live="polite">
        {toasts.map((t) => (
          <Shown key={t.id} toast={t} close={close} />
        ))}
      </div>
    </Toasts.Provider>
  );
}

function Shown({ toast: t, close }: { toast: Toast; close: (id: number) => void }) {
  const [held, setHeld] = useState(false);
  useEffect(() => {
    if (t.tone !== "good") return;
    const timer = setTimeout(() => close(t.id), held ? 30_000 : 6000);
    return () => clearTimeout(timer);
  }, [t, held, close]);
  return (
    <div className={`toast ${t.tone}`}>
      {t.tone === "good" ? <CheckCircle2 size={17} aria-hidden /> : <XCircle size={17} aria-hidden />}
      <div style={{ flex: 1, minWidth: 0 }}>
        <Held.Provider value={setHeld}>{t.content}</Held.Provider>
      </div>
      <IconButton icon={X} label="Close" small onClick={() => close(t.id)} />
    </div>
  );
}
