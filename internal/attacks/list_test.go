package attacks

import "testing"

// TestAttacks is the list. Each is tried in its turn on the same processes; what is told in the
// second column is what must come of it.
func TestAttacks(t *testing.T) {
	w := newWorld(t)
	for _, a := range []struct {
		attack, comes string
		try           func(*testing.T, *world)
	}{
		// Who it is.
		{"no secret, on every method and at every door", "401 or UNAUTHENTICATED; what is public is listed", noSecret},
		{"a wrong secret: another one of a known id, an unknown id, cut off, longer, other letters, another scheme", "UNAUTHENTICATED or PERMISSION_DENIED, the same for all", wrongSecret},
		{"two authorization headers, one of them good; several in one", "UNAUTHENTICATED: nobody chooses between them", twoSecrets},
		{"an identity and a key that have expired", "refused from that second on", expired},
		{"a key where an identity is asked, and an identity where a key is", "refused", otherKind},
		{"the name of another: tidegate-actor, tidegate-server, tidegate-forwarded-by", "not believed: the trail tells who presented the secret", claimedNames},
		// Where, and what.
		{"another environment than the one that was granted", "PERMISSION_DENIED, for identities and keys", wrongEnvironment},
		{"each method, as each role that may not call it (docs/permissions.md, cell by cell)", "as the page says", everyCell},
		{"a client's key that asks for rules, in every protocol that has them", "PERMISSION_DENIED; answers have no rule, and nothing of flags that are not for clients", clientRules},
		// What is taken back.
		{"streams whose key is revoked while they are open, idle or not", "end within a second, at the server and at the relay", revokedMidstream},
		{"streams whose identity is disabled while they are open", "end within a second", disabledMidstream},
		{"a session that was logged out, or whose password was changed, is presented again", "UNAUTHENTICATED, as header and as cookie", replayedSession},
		{"passwords are tried", "RESOURCE_EXHAUSTED after ten at one name; X-Forwarded-For is no other address", triedPasswords},
		// Over HTTP.
		{"a page of another site uses the cookie", "403, and nothing is done; no answer allows its origin", crossSite},
		{"a cookie with GET, or twice", "as if there were none", oddCookies},
		{"paths: //, .., %2e%2e, %2f, other case, a slash more, a whole URL, a NUL", "nothing of what is asked is told", oddPaths},
		{"methods and headers: TRACE, PUT, method override, Host, X-Forwarded-*, X-Original-URL, hop by hop", "as without them", oddHeaders},
		{"a request within a request (Content-Length and Transfer-Encoding)", "400, or one answer", smuggled},
		// Too much, too slow.
		{"messages, bodies and headers that are too large, JSON that is too deep", "refused; the process goes on", oversized},
		{"headers, bodies and handshakes that never end (slowloris)", "the connection ends in seconds, HTTP and gRPC", slow},
		{"more streams on one connection than there may be", "they wait; others are answered", tooManyStreams},
		// What is left behind.
		{"secrets in logs, metrics, channelz, answers, errors, the trail and its export", "none", secretsInSight},
		// The last, as it ends the processes.
		{"the store and the state directories are read, and all that was ever written to them", "no secret, as it is, in hexadecimal digits or in base64", secretsAtRest},
	} {
		if !w.server.Alive() || !w.relay.Alive() {
			t.Fatalf("a process has ended before: %s", a.attack)
		}
		t.Run(a.attack, func(t *testing.T) {
			t.Log(a.comes)
			a.try(t, w)
		})
	}
}
