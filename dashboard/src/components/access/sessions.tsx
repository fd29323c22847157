import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { instead } from "../../api/errors";
import { sessions } from "../../api/transport";
import { useEnvironment } from "../../api/use-environment";
import { dateOf } from "../../lib/time";
import { Ago, Badge, Button, Loading } from "../basics";
import { ChangeDialog } from "../change-dialog";
import { ProblemNote } from "../problem";

// Where somebody is logged in; empty id: oneself.
export function Sessions({ identityId, onEnded }: { identityId: string; onEnded?: () => void }) {
  const environment = useEnvironment();
  const queries = useQueryClient();
  const [ending, setEnding] = useState(false);
  const query = useQuery({
    queryKey: ["sessions", identityId],
    queryFn: async () => (await sessions.listSessions({ identityId })).sessions,
  });
  const failure = instead(query);
  if (failure) return <ProblemNote failure={failure} again={() => void query.refetch()} />;
  if (!query.data) return <Loading rows={2} label="Loading the sessions" />;
  if (query.data.length === 0) return <p className="soft">Logged in nowhere.</p>;
  return (
    <div className="stack">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: who has no mouse scrolls it by the keyboard */}
      <div className="scroll-x" role="region" aria-label="Table: sessions" tabIndex={0}>
        <table className="table sessions">
          <thead>
            <tr>
              <th scope="col">With</th>
              <th scope="col">From</th>
              <th scope="col">Begun</th>
              <th scope="col">Seen last</th>
            </tr>
          </thead>
          <tbody>
            {query.data.map((s) => (
              <tr key={s.session?.id}>
                <td>
                  {browserOf(s.session?.userAgent ?? "")}{" "}
                  <span className="soft small">by {s.session?.proof === "openid" ? "OpenID" : "password"}</span>{" "}
                  {s.current && <Badge tone="good">this one</Badge>}
                </td>
                <td className="mono small">{s.session?.peer}</td>
                <td className="small">
                  <Ago at={dateOf(s.session?.createdAt)} />
                </td>
                <td className="small">
                  <Ago at={dateOf(s.session?.lastSeenAt)} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div>
        <Button onClick={() => setEnding(true)}>Log out everywhere…</Button>
      </div>
      {ending && (
        <ChangeDialog
          title="Log out everywhere"
          environment={environment}
          unprotected
          label="Log out everywhere"
          done="All sessions are over"
          run={async (reason, requestId) => {
            await sessions.logoutEverywhere({ identityId, reason, requestId });
            return {};
          }}
          onDone={() => {
            void queries.invalidateQueries({ queryKey: ["sessions", identityId] });
            onEnded?.();
          }}
          onClose={() => setEnding(false)}
        >
          <p>Every browser and command line has to log in again{identityId === "" && ", this one too"}.</p>
        </ChangeDialog>
      )}
    </div>
  );
}

// What people call the program that logged in.
export function browserOf(agent: string): string {
  const name = [
    [/Edg\//, "Edge"],
    [/Firefox\//, "Firefox"],
    [/Chrome\//, "Chrome"],
    [/Safari\//, "Safari"],
    [/^tidegate/, "the command line"],
  ] as const;
  return name.find(([like]) => like.test(agent))?.[1] ?? (agent.split(/[ /]/)[0] || "an unknown program");
}
