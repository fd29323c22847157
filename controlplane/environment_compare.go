package controlplane

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// At most so many environments are compared at once.
const maxCompared = 10

// comparing is one page of a comparison.
type comparing struct {
	*Authority
	request  *controlv1.CompareEnvironmentsRequest
	revision int64
	// keys of each environment that are looked at; bytes of changes that may still be told.
	size, room int
	rows       []*controlv1.Comparison
}

// compareToken says where the next page begins: after a key, among those of a kind.
type compareToken struct {
	Of       string `json:"of"` // the request, by its fingerprint
	Kind     string `json:"kind"`
	After    string `json:"after"`
	Revision int64  `json:"revision"`
}

// CompareEnvironments tells what differs between environments.
func (a *Authority) CompareEnvironments(ctx context.Context, r *controlv1.CompareEnvironmentsRequest) (*controlv1.CompareEnvironmentsResponse, error) {
	if err := checkCompare(r); err != nil {
		return nil, err
	}
	for _, name := range r.GetEnvironments() {
		if err := a.checkEnvironment(ctx, name); err != nil {
			return nil, err
		}
	}
	place, err := decodeCompareToken(r)
	if err != nil {
		return nil, err
	}
	p := &comparing{Authority: a, request: r, revision: place.Revision, size: int(r.GetPageSize()), room: maxPageBytes}
	if p.size == 0 {
		p.size = defaultListPage
	}
	if p.revision == 0 {
		if _, p.revision, err = a.store.Read(ctx, store.Key(epochKey)); err != nil {
			return nil, unavailable(err)
		}
	}
	for _, k := range []*kind{segmentKind, flagKind} {
		if place.Kind == flagKind.letter && k == segmentKind {
			continue
		}
		last, more, err := p.take(ctx, k, place.After)
		if err != nil {
			return nil, err
		}
		if more {
			return p.response(compareToken{Of: place.Of, Kind: k.letter, After: last, Revision: p.revision})
		}
		place.After = ""
	}
	return p.response(compareToken{})
}

func checkCompare(r *controlv1.CompareEnvironmentsRequest) error {
	var check checker
	if n := len(r.GetEnvironments()); n < 2 || n > maxCompared {
		check.add("environments", "must be 2 to %d, not %d", maxCompared, n)
	}
	for i, name := range r.GetEnvironments() {
		field := fmt.Sprintf("environments[%d]", i)
		if check.environment(field, name); slices.Contains(r.GetEnvironments()[:i], name) {
			check.add(field, "%s is named twice", truncate(name, maxEcho))
		}
	}
	check.prefix("key_prefix", r.GetKeyPrefix())
	if r.GetKey() != "" {
		if check.key("key", r.GetKey()); r.GetKeyPrefix() != "" {
			check.add("key", "is given, and so is key_prefix: give one of them")
		}
	}
	if n := r.GetPageSize(); n < 0 || n > maxListPage {
		check.add("page_size", "must be 1 to %d, or 0 for %d; got %d", maxListPage, defaultListPage, n)
	}
	return check.err()
}

// decodeCompareToken reads where a page begins.
func decodeCompareToken(r *controlv1.CompareEnvironmentsRequest) (compareToken, error) {
	of := proto.CloneOf(r)
	of.PageSize, of.PageToken = 0, ""
	digest, err := fingerprint(of)
	if err != nil || r.GetPageToken() == "" {
		return compareToken{Of: digest}, err
	}
	var t compareToken
	data, err := base64.RawURLEncoding.DecodeString(r.GetPageToken())
	if err == nil {
		err = json.Unmarshal(data, &t)
	}
	switch {
	case err != nil || t.Revision <= 0 || kindOf(t.Kind) == nil || !keyPrefixPattern.MatchString(t.After):
		return t, invalid("page_token", "is not one that this service gave out")
	case t.Of != digest:
		return t, invalid("page_token", "belongs to another comparison: a page continues the request of the one before")
	}
	return t, nil
}

func (p *comparing) response(next compareToken) (*controlv1.CompareEnvironmentsResponse, error) {
	resp := &controlv1.CompareEnvironmentsResponse{Comparisons: p.rows, Revision: p.revision}
	if next.Kind != "" {
		data, err := json.Marshal(next)
		if err != nil {
			return nil, err
		}
		resp.NextPageToken = base64.RawURLEncoding.EncodeToString(data)
	}
	return resp, nil
}

// take compares what there is of a kind after a key. more: there is more of it, after last.
func (p *comparing) take(ctx context.Context, k *kind, after string) (last string, more bool, err error) {
	held := make([]map[string]version, len(p.request.GetEnvironments()))
	var keys []string
	for i, environment := range p.request.GetEnvironments() {
		kvs, rest, err := p.read(ctx, environment, k, after)
		if err != nil {
			return "", false, err
		}
		held[i] = make(map[string]version, len(kvs))
		key := ""
		for _, kv := range kvs {
			_, key = cutLast(kv.Key)
			held[i][key] = k.version(store.Result{KVs: []store.KV{kv}})
			keys = append(keys, key)
		}
		if rest && (!more || key < last) { // beyond, this environment may have others
			last, more = key, true
		}
	}
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		if more && key > last {
			break
		}
		row, err := p.compare(k, key, held)
		if err != nil {
			return "", false, err
		}
		if row.GetDiffers() || !p.request.GetOnlyDiffering() {
			p.rows = append(p.rows, row)
		}
	}
	return last, more, nil
}

// read reads what one environment has of a kind after a key.
func (p *comparing) read(ctx context.Context, environment string, k *kind, after string) (kvs []store.KV, more bool, err error) {
	prefix := statePrefix(environment, k)
	keys := store.Prefix(prefix + p.request.GetKeyPrefix())
	if key := p.request.GetKey(); key != "" {
		keys = store.Key(prefix + key)
	}
	if after != "" && strings.Compare(prefix+after, keys.Key) >= 0 {
		keys.Key = prefix + after + "\x00"
	}
	kvs, _, more, err = p.readPage(ctx, page{keys: keys, revision: p.revision, size: p.size})
	return kvs, more, err
}

// compare compares one flag or segment.
func (p *comparing) compare(k *kind, key string, held []map[string]version) (*controlv1.Comparison, error) {
	row := &controlv1.Comparison{Kind: k.control, Key: key}
	var first *controlv1.Compared
	for i := range held {
		v := held[i][key]
		c, err := comparedOf(v)
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = c
		}
		unreadable := c.GetRevision() != 0 && len(c.GetDigest()) == 0
		c.Differs = unreadable && i > 0 || (c.GetRevision() == 0) != (first.GetRevision() == 0) || !bytes.Equal(c.GetDigest(), first.GetDigest()) ||
			p.request.GetIncludeEnabled() && c.GetEnabled() != first.GetEnabled()
		if c.Differs && p.request.GetIncludeChanges() && p.room > 0 {
			before, after := pinned(held[0][key].message), pinned(v.message)
			if !p.request.GetIncludeEnabled() {
				before, after = definitionOf(before), definitionOf(after)
			}
			c.Changes = fieldChanges(before, after)
			p.room -= proto.Size(c)
		}
		row.Environments, row.Differs = append(row.Environments, c), row.Differs || c.Differs
	}
	return row, nil
}

// comparedOf is what a comparison says of one version. What cannot be decoded is like nothing
// else: it has no digest.
func comparedOf(v version) (*controlv1.Compared, error) {
	c := &controlv1.Compared{Revision: v.revision}
	content := definitionOf(v.message)
	if content == nil {
		return c, nil
	}
	flag, _ := v.message.(*flagv1.Flag)
	c.Enabled = flag.GetEnabled()
	data, err := marshal(content)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	c.Digest = sum[:]
	return c, nil
}
