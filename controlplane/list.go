package controlplane

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

const (
	maxListPage, defaultListPage       = 1000, 100
	maxHistoryPage, defaultHistoryPage = 100, 20

	// A page also ends before it is larger than this, however few its elements are: it
	// shall fit in one message.
	maxPageBytes = 2 << 20
	// How many elements are read from the store at once.
	readAhead = 64
)

// pageToken says where the next page begins. It is bound to the request of the first.
type pageToken struct {
	// Of names what is listed: the prefix of its keys in the store.
	Of string `json:"of"`
	// After is the key of the last element so far.
	After string `json:"after"`
	// Revision that a list is read at; 0 for a history, which only grows.
	Revision int64 `json:"revision,omitempty"`
}

func (t pageToken) encode() (string, error) {
	data, err := json.Marshal(t)
	return base64.RawURLEncoding.EncodeToString(data), err
}

// decodePageToken reads a token for a list of what of names.
func decodePageToken(token, of string) (pageToken, error) {
	var t pageToken
	data, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(data, &t)
	}
	switch {
	case err != nil || t.Revision < 0 || !strings.HasPrefix(t.After, t.Of):
		return pageToken{}, invalid("page_token", "is not one that this service gave out")
	case t.Of != of:
		return pageToken{}, invalid("page_token", "belongs to another list: a page continues the request of the one before")
	}
	return t, nil
}

// page asks for one page.
type page struct {
	keys     store.Range // from the first key of the page on
	revision int64       // 0: now
	size     int
}

// pageRange returns what a request for a page asks for.
func pageRange(of string, size int32, token string, maximum, standard int) (page, error) {
	p := page{keys: store.Prefix(of), size: int(size)}
	switch {
	case p.size == 0:
		p.size = standard
	case p.size < 0 || p.size > maximum:
		return page{}, invalid("page_size", fmt.Sprintf("must be 1 to %d, or 0 for %d; got %d", maximum, standard, size))
	}
	if token != "" {
		t, err := decodePageToken(token, of)
		if err != nil {
			return page{}, err
		}
		p.keys.Key, p.revision = t.After+"\x00", t.Revision
	}
	return p, nil
}

// readPage reads a page: its elements, the revision that it shows, and whether there are
// more.
func (a *Authority) readPage(ctx context.Context, p page) (kvs []store.KV, revision int64, more bool, err error) {
	revision = p.revision
	bytes := 0
	r := p.keys
	for {
		r.Limit = min(readAhead, p.size-len(kvs))
		var chunk store.Result
		if revision == 0 {
			var results []store.Result
			if results, revision, err = a.store.Read(ctx, r); err == nil {
				chunk = results[0]
			}
		} else {
			chunk, err = a.store.ReadAt(ctx, revision, r)
		}
		if err != nil {
			return nil, 0, false, pageError(err)
		}
		for _, kv := range chunk.KVs {
			if bytes += len(kv.Value); bytes > maxPageBytes && len(kvs) > 0 {
				return kvs, revision, true, nil
			}
			kvs = append(kvs, kv)
		}
		if !chunk.More || len(kvs) == p.size {
			return kvs, revision, chunk.More, nil
		}
		r.Key = kvs[len(kvs)-1].Key + "\x00"
	}
}

// pageError says why a page cannot be read.
func pageError(err error) error {
	switch {
	case errors.Is(err, store.ErrCompacted):
		return ErrTokenExpired
	case errors.Is(err, store.ErrFutureRevision):
		return invalid("page_token", "is not one that this service gave out")
	}
	return unavailable(err)
}

func nextToken(of string, kvs []store.KV, more bool, revision int64) (string, error) {
	if !more || len(kvs) == 0 {
		return "", nil
	}
	return pageToken{Of: of, After: kvs[len(kvs)-1].Key, Revision: revision}.encode()
}

// listRequest is a request for the flags or segments of an environment.
type listRequest interface {
	GetEnvironment() string
	GetKeyPrefix() string
	GetPageSize() int32
	GetPageToken() string
}

// listed is a page of flags or segments.
type listed struct {
	versions []version
	next     string
	revision int64
}

func (a *Authority) list(ctx context.Context, k *kind, r listRequest) (*listed, error) {
	var check checker
	check.environment("environment", r.GetEnvironment())
	if !keyPrefixPattern.MatchString(r.GetKeyPrefix()) {
		check.add("key_prefix", "must be the beginning of a key, which %s; got %q", keyRule, truncate(r.GetKeyPrefix(), maxEcho))
	}
	if err := check.err(); err != nil {
		return nil, err
	}
	of := statePrefix(r.GetEnvironment(), k) + r.GetKeyPrefix()
	p, err := pageRange(of, r.GetPageSize(), r.GetPageToken(), maxListPage, defaultListPage)
	if err != nil {
		return nil, err
	}
	if err := a.checkEnvironment(ctx, r.GetEnvironment()); err != nil {
		return nil, err
	}
	kvs, revision, more, err := a.readPage(ctx, p)
	if err != nil {
		return nil, err
	}
	l := &listed{revision: revision}
	for _, kv := range kvs {
		v := k.version(store.Result{KVs: []store.KV{kv}})
		if v.message == nil {
			// One that cannot be read must not hide the others.
			a.logger.Error().Str("key", kv.Key).Int64("revision", kv.ModRevision).Msg("a stored value cannot be decoded; left out of a list")
			continue
		}
		l.versions = append(l.versions, v)
	}
	l.next, err = nextToken(of, kvs, more, revision)
	return l, err
}

// historyRequest is a request for the history of a flag or segment.
type historyRequest interface {
	GetEnvironment() string
	GetPageSize() int32
	GetPageToken() string
}

// history returns a page of audit entries, newest first. Entries that are written
// meanwhile belong before the first page, so pages are read from the present.
func (a *Authority) history(ctx context.Context, k *kind, key string, r historyRequest) ([]*controlv1.AuditEntry, string, error) {
	var check checker
	if k != identityKind {
		check.environment("environment", r.GetEnvironment())
	}
	check.key(k.field, key)
	if err := check.err(); err != nil {
		return nil, "", err
	}
	target := resource{environment: r.GetEnvironment(), kind: k, key: key}
	p, err := pageRange(target.auditPrefix(), r.GetPageSize(), r.GetPageToken(), maxHistoryPage, defaultHistoryPage)
	if err != nil {
		return nil, "", err
	}
	kvs, _, more, err := a.readPage(ctx, p)
	if err != nil {
		return nil, "", err
	}
	if len(kvs) == 0 && r.GetPageToken() == "" {
		if k != identityKind {
			if err := a.checkEnvironment(ctx, r.GetEnvironment()); err != nil {
				return nil, "", err
			}
		}
		return nil, "", &NotFoundError{What: target.String()}
	}
	entries := make([]*controlv1.AuditEntry, 0, len(kvs))
	for _, kv := range kvs {
		entry, err := decodeEntry(kv)
		if err != nil {
			return nil, "", err
		}
		entries = append(entries, entry)
	}
	next, err := nextToken(target.auditPrefix(), kvs, more, 0)
	return entries, next, err
}
