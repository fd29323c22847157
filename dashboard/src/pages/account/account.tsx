import "../../components/access/access.css";
import { useState } from "react";
import { useSession } from "../../api/session";
import { identities } from "../../api/transport";
import { useEnvironment } from "../../api/use-environment";
import { grantWords } from "../../components/access/grants";
import { Sessions } from "../../components/access/sessions";
import { Button, Card, Field, Input, Note } from "../../components/basics";
import { PageHead } from "../../components/page";
import { ProblemNote } from "../../components/problem";
import { useToast } from "../../components/toast";

// Who one is, what one may do, and where one is logged in.
export default function Account() {
  const session = useSession();
  const environment = useEnvironment();
  const me = session.identity;
  return (
    <div className="page">
      <PageHead title="Your account" tab="Your account">
        {me ? me.name : `${session.name}, as you say: this server asks nobody`}
      </PageHead>
      {!me ? (
        <Note>
          <span>
            There are no accounts on this server, and everybody may do everything in {environment} and elsewhere.
          </span>
        </Note>
      ) : (
        <>
          <div className="columns">
            <Card title="You may">
              <ul className="stack tight">
                {me.grants.map((g) => (
                  <li key={grantWords(g)}>{grantWords(g)}</li>
                ))}
                {me.grants.length === 0 && <li className="soft">Nothing. Ask an administrator.</li>}
              </ul>
            </Card>
            <Card title="Password">
              {me.openid ? (
                <p className="soft">You log in through {me.openid.issuer}: change your password there.</p>
              ) : (
                <Password id={me.id} />
              )}
            </Card>
          </div>
          <Card title="Where you are logged in">
            <Sessions identityId="" onEnded={() => void session.logOut()} />
          </Card>
        </>
      )}
    </div>
  );
}

function Password({ id }: { id: string }) {
  const [before, setBefore] = useState("");
  const [after, setAfter] = useState("");
  const [failure, setFailure] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const say = useToast();
  async function submit() {
    setBusy(true);
    setFailure(undefined);
    try {
      await identities.setPassword({
        id,
        oldPassword: before,
        password: after,
        reason: "changed by its owner",
        requestId: crypto.randomUUID(),
      });
      setBefore("");
      setAfter("");
      say("good", "Your password is changed");
    } catch (failed) {
      setFailure(failed);
    } finally {
      setBusy(false);
    }
  }
  return (
    <form
      className="stack"
      onSubmit={(e) => {
        e.preventDefault();
        void submit();
      }}
    >
      <Field label="The password now">
        {(ids) => (
          <Input
            {...ids}
            type="password"
            autoComplete="current-password"
            value={before}
            onChange={(e) => setBefore(e.target.value)}
          />
        )}
      </Field>
      <Field label="The new one" hint="At least 12 characters. Your other sessions end.">
        {(ids) => (
          <Input
            {...ids}
            type="password"
            autoComplete="new-password"
            value={after}
            onChange={(e) => setAfter(e.target.value)}
          />
        )}
      </Field>
      {failure !== undefined && <ProblemNote failure={failure} />}
      <div>
        <Button type="submit" disabled={busy || !before || after.length < 12}>
          Change it
        </Button>
      </div>
    </form>
  );
}
