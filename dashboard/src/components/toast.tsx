import { CheckCircle2, X, XCircle } from "lucide-react";
import { createContext, type ReactNode, useCallback, useContext, useState } from "react";
import { IconButton } from "./basics";

type Toast = { id: number; tone: "good" | "bad"; content: ReactNode };
type Say = (tone: Toast["tone"], content: ReactNode) => void;

const Toasts = createContext<Say>(() => {});

export function useToast(): Say {
  return useContext(Toasts);
}

let last = 0;

// Short messages in a corner. Good news goes by itself; bad news stays until it is closed.
export function ToastProvider({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<Toast[]>([]);
  const close = useCallback((id: number) => setToasts((all) => all.filter((t) => t.id !== id)), []);
  const say = useCallback<Say>(
    (tone, content) => {
      const id = ++last;
      setToasts((all) => [...all.slice(-3), { id, tone, content }]);
      if (tone === "good") setTimeout(() => close(id), 6000);
    },
    [close],
  );
  return (
    <Toasts.Provider value={say}>
      {children}
      <div className="toasts" role="status" aria-live="polite">
        {toasts.map((t) => (
          <div key={t.id} className={`toast ${t.tone}`}>
            {t.tone === "good" ? <CheckCircle2 size={17} aria-hidden /> : <XCircle size={17} aria-hidden />}
            <div style={{ flex: 1, minWidth: 0 }}>{t.content}</div>
            <IconButton icon={X} label="Close" small onClick={() => close(t.id)} />
          </div>
        ))}
      </div>
    </Toasts.Provider>
  );
}
