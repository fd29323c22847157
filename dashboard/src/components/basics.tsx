import { AlertTriangle, Check, CheckCircle2, Copy, Info, type LucideIcon, XCircle } from "lucide-react";
import { type ComponentProps, type ReactNode, useEffect, useId, useState } from "react";
import { ago, exactly } from "../lib/time";

type Tone = "good" | "warn" | "bad" | "accent" | "outline";

export function Button({
  kind,
  small,
  className = "",
  ...rest
}: ComponentProps<"button"> & {
  kind?: "primary" | "danger" | "quiet";
  small?: boolean;
}) {
  return <button type="button" className={`button ${kind ?? ""} ${small ? "small" : ""} ${className}`} {...rest} />;
}

// A button that is an icon: `label` is what it does, in words.
export function IconButton({
  icon: Icon,
  label,
  small,
  ...rest
}: ComponentProps<"button"> & {
  icon: LucideIcon;
  label: string;
  small?: boolean;
}) {
  return (
    <button
      type="button"
      className={`button quiet icon ${small ? "small" : ""}`}
      aria-label={label}
      title={label}
      {...rest}
    >
      <Icon size={small ? 15 : 17} aria-hidden />
    </button>
  );
}

export function Switch({
  on,
  busy,
  label,
  onChange,
  ...rest
}: Omit<ComponentProps<"button">, "onChange"> & {
  on: boolean;
  busy?: boolean;
  label: string;
  onChange: (on: boolean) => void;
}) {
  return (
    <button
      type="button"
      role="switch"
      className="switch"
      aria-checked={on}
      aria-label={label}
      aria-busy={busy}
      onClick={() => onChange(!on)}
      {...rest}
    />
  );
}

export function Badge({ tone, children, title }: { tone?: Tone; children: ReactNode; title?: string }) {
  return (
    <span className={`badge ${tone ?? ""}`} title={title}>
      {children}
    </span>
  );
}

const noteIcons = {
  good: CheckCircle2,
  warn: AlertTriangle,
  bad: XCircle,
  info: Info,
};

export function Note({ tone = "info", children }: { tone?: keyof typeof noteIcons; children: ReactNode }) {
  const Icon = noteIcons[tone];
  return (
    <div className={`note ${tone}`} role={tone === "bad" ? "alert" : undefined}>
      <Icon size={17} aria-hidden />
      <div className="stack tight">{children}</div>
    </div>
  );
}

export function Card({
  title,
  actions,
  children,
  flush,
}: {
  title?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
  flush?: boolean;
}) {
  return (
    <section className="card">
      {(title || actions) && (
        <header>
          {typeof title === "string" ? <h2>{title}</h2> : title}
          {actions && <div className="row tight">{actions}</div>}
        </header>
      )}
      {flush ? children : <div className="body">{children}</div>}
    </section>
  );
}

export function Field({
  label,
  hint,
  problem,
  children,
}: {
  label: string;
  hint?: ReactNode;
  problem?: string;
  children: (ids: { id: string; "aria-describedby"?: string; "aria-invalid"?: boolean }) => ReactNode;
}) {
  const id = useId();
  const described = problem ? `${id}-problem` : hint ? `${id}-hint` : undefined;
  return (
    <div className="field">
      <label className="label" htmlFor={id}>
        {label}
      </label>
      {children({
        id,
        "aria-describedby": described,
        "aria-invalid": problem ? true : undefined,
      })}
      {problem ? (
        <span className="problem" id={`${id}-problem`}>
          {problem}
        </span>
      ) : (
        hint && (
          <span className="hint" id={`${id}-hint`}>
            {hint}
          </span>
        )
      )}
    </div>
  );
}

export function Input({ className = "", ...rest }: ComponentProps<"input">) {
  return <input className={`input ${className}`} {...rest} />;
}

export function Select({ className = "", ...rest }: ComponentProps<"select">) {
  return <select className={`input ${className}`} {...rest} />;
}

export function TextArea({ className = "", ...rest }: ComponentProps<"textarea">) {
  return <textarea className={`input ${className}`} {...rest} />;
}

export function Empty({
  icon: Icon,
  title,
  heading: Heading = "h2",
  children,
}: {
  icon: LucideIcon;
  title: string;
  // "h1" where it is all that the page has.
  heading?: "h1" | "h2";
  children?: ReactNode;
}) {
  return (
    <div className="empty">
      <Icon size={30} strokeWidth={1.5} aria-hidden />
      <Heading>{title}</Heading>
      {children}
    </div>
  );
}

export function Skeleton({ height = 16, width = "100%" }: { height?: number; width?: number | string }) {
  return <div className="skeleton" style={{ height, width }} aria-hidden />;
}

// Loading takes about the room that what is loaded will take.
export function Loading({ rows = 6, label = "Loading" }: { rows?: number; label?: string }) {
  return (
    <div className="stack tight" role="status" aria-label={label}>
      {Array.from({ length: rows }, (_, i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike
        <Skeleton key={i} height={38} />
      ))}
    </div>
  );
}

// In the place of what is still to come.
export function Unknown() {
  return (
    <span className="faint" title="Not known yet">
      …
    </span>
  );
}

// A time, as how long ago it is; exactly, when pointed at.
// Renders again as time goes by.
export function useTick() {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 15_000);
    return () => clearInterval(timer);
  }, []);
}

export function Ago({ at }: { at: Date | undefined }) {
  useTick();
  if (!at) return <span className="faint">never</span>;
  return (
    <time className="nowrap" dateTime={at.toISOString()} title={exactly(at)}>
      {ago(at)}
    </time>
  );
}

export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  const [copied, setCopied] = useState(false);
  return (
    <IconButton
      icon={copied ? Check : Copy}
      label={copied ? "Copied" : label}
      small
      onClick={() => {
        void navigator.clipboard.writeText(text).then(() => {
          setCopied(true);
          setTimeout(() => setCopied(false), 1500);
        });
      }}
    />
  );
}
