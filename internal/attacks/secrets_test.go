package attacks

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	channelzv1 "google.golang.org/grpc/channelz/grpc_channelz_v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/tidegate/tidegate/controlplane/store"
	"github.com/tidegate/tidegate/controlplane/store/etcdstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"

	"github.com/rs/zerolog"
)

// forms are how a secret could be written down: as it is, without what comes before its random
// part, and both and the random bytes themselves in hexadecimal digits and in base64.
func forms(secret string) map[string][]byte {
	all := map[string][]byte{"as it is": []byte(secret)}
	random := secret
	switch {
	case strings.HasPrefix(secret, "tgk_"):
		random = secret[17:]
	case strings.HasPrefix(secret, "tgs_"):
		random = secret[4:]
	}
	all["random part"] = []byte(random)
	texts := map[string][]byte{"": []byte(secret), ", random part": []byte(random)}
	if decoded, err := base64.RawURLEncoding.DecodeString(random); err == nil && random != secret {
		all["bytes"], texts[", bytes"] = decoded, decoded
	}
	for what, data := range texts {
		all["hex"+what] = []byte(hex.EncodeToString(data))
		all["base64"+what] = []byte(base64.RawStdEncoding.EncodeToString(data))
		all["base64url"+what] = []byte(base64.RawURLEncoding.EncodeToString(data))
	}
	return all
}

// hashed are the forms of what the store keeps of a secret, which nobody is told.
func hashed(secret string) map[string][]byte {
	sum := sha256.Sum256([]byte(secret))
	return map[string][]byte{
		"hash, hex": []byte(hex.EncodeToString(sum[:])), "hash, base64": []byte(base64.RawStdEncoding.EncodeToString(sum[:])),
		"hash, base64url": []byte(base64.RawURLEncoding.EncodeToString(sum[:])),
	}
}

// find reports which secrets are in data, in which form.
func find(t *testing.T, w *world, where string, data []byte, and func(string) map[string][]byte) {
	t.Helper()
	for of, secret := range w.secrets {
		all := forms(secret)
		if and != nil {
			maps.Copy(all, and(secret))
		}
		for form, text := range all {
			if bytes.Contains(data, text) {
				t.Errorf("%s has the secret of %q, %s", where, of, form)
			}
		}
	}
}

// secretsInSight looks for every secret in all that can be seen without being at the disk.
func secretsInSight(t *testing.T, w *world) {
	admin := w.as(t, "administrator")
	for _, args := range [][]string{
		{"identity", "list"},
		{"identity", "list", "-o", "json"},
		{"key", "list"},
		{"key", "list", "-o", "json"},
		{"audit", "list"},
		{"audit", "list", "-o", "json"},
		{"audit", "verify"},
		{"flag", "list", "-e", production, "-o", "json"},
		{"audit", "list", "-e", "_access", "-o", "json"},
		{"identity", "sessions"},
		{"audit", "export", "-e", production},
		{"audit", "export", "-e", "_access"},
	} {
		out, ok := w.cli(t, "administrator", args...)
		if !ok {
			t.Logf("tidegate %v: %s", args, out)
		}
		find(t, w, strings.Join(args, " "), []byte(out), hashed)
	}
	for of := range w.secrets { // each is refused somewhere, or told nothing of itself
		w.cli(t, of, "identity", "list")
	}
	for name, conn := range w.conns {
		c, ctx := channelzv1.NewChannelzClient(conn), admin
		if name == "relay" {
			ctx = w.as(t, "relay")
		}
		servers, err := c.GetServers(ctx, &channelzv1.GetServersRequest{})
		if err != nil {
			t.Fatal(err)
		}
		channels, err := c.GetTopChannels(ctx, &channelzv1.GetTopChannelsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		find(t, w, "channelz of the "+name, []byte(protojson.Format(servers)+protojson.Format(channels)), hashed)
	}
	for name, p := range map[string]interface{ Get(string) ([]byte, error) }{"server": w.server, "relay": w.relay} {
		for _, path := range []string{"/metrics", "/readyz"} {
			body, err := p.Get(path)
			if err != nil {
				t.Fatal(err)
			}
			find(t, w, path+" of the "+name, body, hashed)
		}
	}
	for _, environment := range []string{production, "dev", "staging", "_access", "_store"} {
		entries, err := controlv1.NewAuditServiceClient(w.conns["server"]).ListEntries(admin, &controlv1.ListEntriesRequest{Environment: environment, PageSize: 100})
		if err != nil {
			t.Fatal(err)
		}
		find(t, w, "the trail of "+environment, []byte(protojson.Format(entries)), hashed)
	}
	find(t, w, "an answer to an attack", []byte(w.answers.String()), hashed)
	// The first start prints the administrator's, once, for whoever started it.
	logs := w.logs.String()
	if n := strings.Count(logs, w.secrets["administrator"]); n != 1 {
		t.Errorf("the administrator's secret was printed %d times", n)
	}
	find(t, w, "a log", []byte(strings.Replace(logs, w.secrets["administrator"], "", 1)), hashed)
	if !strings.Contains(logs, `"level":"debug"`) || len(logs) < 100_000 {
		t.Errorf("the logs are no whole run at debug level: %d bytes", len(logs))
	}
	t.Logf("%d secrets, %d bytes of logs, %d of answers", len(w.secrets), len(logs), len(w.answers.String()))
}

// secretsAtRest looks for every secret in all that is on the disks, what was deleted included, and
// in every value of the store.
func secretsAtRest(t *testing.T, w *world) {
	if err := w.relay.Terminate(); err != nil {
		t.Error(err)
	}
	if err := w.server.Terminate(); err != nil {
		t.Error(err)
	}
	read := 0
	for _, dir := range []string{w.dataDir, w.stateDir} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			read += len(data)
			find(t, w, path, data, nil)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := etcdstore.Open(t.Context(), etcdstore.Options{DataDir: filepath.Join(w.dataDir, "etcd"), Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	results, _, err := s.Read(t.Context(), store.Prefix("/"))
	if err != nil {
		t.Fatal(err)
	}
	roots := map[string]bool{}
	for _, kv := range results[0].KVs {
		find(t, w, kv.Key, append([]byte(kv.Key+"\n"), kv.Value...), nil)
		roots[strings.SplitN(strings.TrimPrefix(kv.Key, "/tidegate/v1/"), "/", 2)[0]] = true
	}
	t.Logf("%d bytes of files, %d keys of the store, under %v", read, len(results[0].KVs), slices.Sorted(maps.Keys(roots)))
	if !roots["i"] || !roots["c"] || !roots["a"] || !roots["i-sessions"] {
		t.Errorf("the store has %v: where are identities, keys, the trail and sessions?", roots)
	}
}
