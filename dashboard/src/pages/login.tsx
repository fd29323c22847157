import { LogIn, RefreshCw } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { sentence } from "../api/errors";
import type { LoginMethods } from "../api/session";
import { Button, Field, Input, Note } from "../components/basics";

export function Waiting() {
  return <div className="centered" role="status" aria-label="Loading" />;
}

export function Unreachable({ again }: { again: () => void }) {
  useEffect(() => {
    const timer = setInterval(again, 3000);
    return () => clearInterval(timer);
  }, [again]);
  return (
    <main className="centered">
      <Note tone="warn">
        <strong>The server cannot be reached</strong>
        <span>Flags are still served: relays go on without it. This page tries again by itself.</span>
        <div>
          <Button small onClick={again}>
            <RefreshCw size={14} aria-hidden /> Try now
          </Button>
        </div>
      </Note>
    </main>
  );
}

async function logIn(name: string, password: string): Promise<string> {
  try {
    const response = await fetch("/auth/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ name, password }),
    });
    if (response.ok) return "";
    const said: { message?: string } = await response.json();
    return `${sentence(said.message ?? response.statusText).replace(/\.$/, "")}.`;
  } catch {
    return "The server cannot be reached. Try again.";
  }
}

// `ended`: somebody was logged in in this tab, and did not log out in it.
export function Login({ methods, done, ended }: { methods: LoginMethods; done: () => void; ended: boolean }) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const field = useRef<HTMLInputElement>(null);

  useEffect(() => {
    document.title = "Log in · tidegate";
  }, []);

  async function submit() {
    setBusy(true);
    const failed = await logIn(name.trim(), password);
    setBusy(false);
    setProblem(failed);
    if (!failed) return done();
    setPassword("");
    field.current?.focus();
  }

  return (
    <main className="centered">
      <div className="stack">
        <div className="brand">
          <img src="/mark.svg" alt="" /> tidegate
        </div>
        <section className="card">
          <div className="body stack">
            <h1>Log in</h1>
            {ended && (
              <Note>
                <strong>You are not logged in any more</strong>
                <span>
                  Your session was ended, or ran out. Unsaved changes of flags, segments and settings are kept in this
                  tab: they are there again when you log in as who you were.
                </span>
              </Note>
            )}
            {problem && (
              <Note tone="bad">
                <span>{problem}</span>
              </Note>
            )}
            {methods.openid && (
              <a className="button primary" href={methods.openid}>
                <LogIn size={16} aria-hidden /> Continue with {new URL(methods.issuer ?? "").hostname}
              </a>
            )}
            {methods.password && (
              <form
                className="stack"
                onSubmit={(e) => {
                  e.preventDefault();
                  void submit();
                }}
              >
                <Field label="E-mail address">
                  {(ids) => (
                    <Input
                      {...ids}
                      type="email"
                      name="name"
                      autoComplete="username"
                      required
                      value={name}
                      onChange={(e) => setName(e.target.value)}
                    />
                  )}
                </Field>
                <Field label="Password">
                  {(ids) => (
                    <Input
                      {...ids}
                      ref={field}
                      type="password"
                      name="password"
                      autoComplete="current-password"
                      required
                      value={password}
                      onChange={(e) => setPassword(e.target.value)}
                    />
                  )}
                </Field>
                <Button
                  type="submit"
                  kind={methods.openid ? undefined : "primary"}
                  disabled={busy || !name || !password}
                >
                  {busy ? "Logging in…" : "Log in"}
                </Button>
              </form>
            )}
          </div>
        </section>
        <p className="soft small">
          No account yet? An administrator makes one: <code>tidegate identity create</code>.
        </p>
      </div>
    </main>
  );
}
