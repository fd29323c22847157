import { LogOut, Moon, ShieldCheck, Sun, SunMoon, UserRound } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { setActor } from "../api/actor";
import { useSession } from "../api/session";
import { useEnvironment } from "../api/use-environment";
import { chooseTheme, chosenTheme } from "../lib/theme";
import { Button, Field, Input } from "./basics";
import { Dialog } from "./dialog";
import { Menu } from "./menu";
import { useToast } from "./toast";

// Who looks, and how it looks.
export function Account() {
  const session = useSession();
  const environment = useEnvironment();
  const [theme, setTheme] = useState(chosenTheme);
  const [naming, setNaming] = useState(false);
  const say = useToast();
  const choose = (t: typeof theme) => {
    chooseTheme(t);
    setTheme(t);
  };
  return (
    <>
      <Menu
        side="above"
        button={(props) => (
          <button type="button" className="button quiet" {...props}>
            <UserRound size={16} aria-hidden /> <span className="truncate">{session.name}</span>
          </button>
        )}
      >
        <button type="button" aria-pressed={theme === "light"} onClick={() => choose("light")}>
          <Sun size={15} aria-hidden /> Light
        </button>
        <button type="button" aria-pressed={theme === "dark"} onClick={() => choose("dark")}>
          <Moon size={15} aria-hidden /> Dark
        </button>
        <button type="button" aria-pressed={theme === "system"} onClick={() => choose("system")}>
          <SunMoon size={15} aria-hidden /> As the system
        </button>
        <hr />
        {session.open ? (
          <button type="button" onClick={() => setNaming(true)}>
            <UserRound size={15} aria-hidden /> Say who you are
          </button>
        ) : (
          <>
            <Link href={`/${environment}/account`}>
              <ShieldCheck size={15} aria-hidden /> Your account
            </Link>
            <button type="button" onClick={() => session.logOut().catch((failed) => say("bad", failed.message))}>
              <LogOut size={15} aria-hidden /> Log out
            </button>
          </>
        )}
      </Menu>
      {naming && <NameDialog name={session.name} onClose={() => setNaming(false)} />}
    </>
  );
}

// On a server that asks nobody: what the audit trail says of one.
function NameDialog({ name: before, onClose }: { name: string; onClose: () => void }) {
  const [name, setName] = useState(before === "anonymous" ? "" : before);
  return (
    <Dialog
      title="Say who you are"
      onClose={onClose}
      onSubmit={() => {
        setActor(name);
        window.location.reload();
      }}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" kind="primary">
            Save
          </Button>
        </>
      }
    >
      <Field label="Your name" hint="For the audit trail. This server asks nobody who they are, and believes it.">
        {(ids) => <Input {...ids} autoFocus value={name} onChange={(e) => setName(e.target.value)} />}
      </Field>
    </Dialog>
  );
}
