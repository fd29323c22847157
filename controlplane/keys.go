package controlplane

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// The layout of the store. E is an environment, K is 'f' for flags, 's' for segments, 'k' for
// keys and 'r' for rollouts.
//
//	/tidegate/v1/meta/epoch              the life of the store, as JSON (see epoch.go);
//	                                     made once, replaced by BeginEpoch
//	/tidegate/v1/meta/environments/E     the environment exists; empty
//	/tidegate/v1/c/E/K/KEY               the flag, segment, rollout or key (by its id): the
//	                                     bytes that relays get, marshalled once, when it is
//	                                     written
//	/tidegate/v1/c/E/refs                the reference guard; empty. Modified by every
//	                                     write after which references may no longer
//	                                     hold that held before, and compared by it, so
//	                                     that of two such writes at once one is checked
//	                                     against the other. Under c/ so that the watch
//	                                     sees it: a replica that has applied its
//	                                     modification knows all that came before. It
//	                                     also announces a new environment
//	/tidegate/v1/a/E/K/KEY/SEQUENCE      an AuditEntry. SEQUENCE counts down, so that
//	                                     keys run from newest to oldest
//	/tidegate/v1/o/E/FLAG                what rollouts that are not over own of a flag, as
//	                                     JSON (see claims.go); absent: nothing. Compared by
//	                                     every write of the flag but the kill switch, and
//	                                     changed as rollouts start and end, so that neither
//	                                     happens unseen by the other
//	/tidegate/v1/d/E/ROLLOUT/NUMBER      a Decision. NUMBER counts down, as SEQUENCE does
//	/tidegate/v1/t/e/E/ROLLOUT           the Evidence of a rollout; goes when that is deleted
//	/tidegate/v1/q/E/REQUEST_ID          what became of a request, as JSON (see
//	                                     request.go); leased for a day
//
// Where E is '_keys' in place of an environment, it is of a change to a key, which may be of
// several; where it is '_store', of the store itself: its epoch, K 'e', KEY 'epoch'.
//
// A write is one transaction: it compares what it was decided on (the resource, the
// absence of the next audit entry and of the request, the guard) and puts the resource,
// its entry, the request, and the guard. So a resource and its history cannot disagree,
// the entries of a resource form one chain without gaps, over deletions too, and a
// request happens once.
const (
	root             = "/tidegate/v1/"
	epochKey         = root + "meta/epoch"
	environmentsRoot = root + "meta/environments/"
	stateRoot        = root + "c/"
	auditRoot        = root + "a/"
	claimsRoot       = root + "o/"
	decisionsRoot    = root + "d/"
	evidenceRoot     = root + "t/e/"
	requestsRoot     = root + "q/"
)

// What stands in the place of an environment. None can have such a name.
const (
	keyScope   = "_keys"
	storeScope = "_store"
)

// kind is what is stored of flags, of segments, of keys or of rollouts.
type kind struct {
	letter string
	name   string
	// field is where requests name one.
	field   string
	control controlv1.ResourceKind
	sync    syncv1.Kind
}

var (
	flagKind = &kind{
		letter: "f", name: "flag", field: "flag_key",
		control: controlv1.ResourceKind_RESOURCE_KIND_FLAG, sync: syncv1.Kind_KIND_FLAG,
	}
	segmentKind = &kind{
		letter: "s", name: "segment", field: "segment_key",
		control: controlv1.ResourceKind_RESOURCE_KIND_SEGMENT, sync: syncv1.Kind_KIND_SEGMENT,
	}
	keyKind = &kind{
		letter: "k", name: "key", field: "key_id",
		control: controlv1.ResourceKind_RESOURCE_KIND_KEY, sync: syncv1.Kind_KIND_KEY,
	}
	rolloutKind = &kind{
		letter: "r", name: "rollout", field: "key",
		control: controlv1.ResourceKind_RESOURCE_KIND_ROLLOUT, sync: syncv1.Kind_KIND_ROLLOUT,
	}
)

// kindOf returns the kind that a key's letter names, or nil.
func kindOf(letter string) *kind {
	switch letter {
	case flagKind.letter:
		return flagKind
	case segmentKind.letter:
		return segmentKind
	case keyKind.letter:
		return keyKind
	case rolloutKind.letter:
		return rolloutKind
	}
	return nil
}

// resource identifies a flag, segment, key or rollout.
type resource struct {
	environment string
	kind        *kind
	key         string
}

func (r resource) String() string {
	return fmt.Sprintf("%s %q in environment %q", r.kind.name, r.key, r.environment)
}

func (r resource) stateKey() string { return statePrefix(r.environment, r.kind) + r.key }

func (r resource) auditPrefix() string {
	return auditRoot + r.environment + "/" + r.kind.letter + "/" + r.key + "/"
}

func (r resource) auditKey(sequence int64) string {
	return r.auditPrefix() + countingDown(sequence)
}

// countingDown is a number as the end of a key, the greatest first.
func countingDown(n int64) string { return fmt.Sprintf("%016x", math.MaxInt64-n) }

// newestEntry is the range of the newest audit entry.
func (r resource) newestEntry() store.Range {
	newest := store.Prefix(r.auditPrefix())
	newest.Limit = 1
	return newest
}

// sequenceOf is the inverse of auditKey.
func sequenceOf(key string) (int64, error) {
	hex := key[strings.LastIndexByte(key, '/')+1:]
	n, err := strconv.ParseUint(hex, 16, 63)
	if err != nil || len(hex) != 16 || n == math.MaxInt64 {
		return 0, fmt.Errorf("controlplane: %q is not the key of an audit entry", key)
	}
	return math.MaxInt64 - int64(n), nil
}

func environmentKey(environment string) string { return environmentsRoot + environment }

func statePrefix(environment string, k *kind) string {
	return stateRoot + environment + "/" + k.letter + "/"
}

func guardKey(environment string) string { return stateRoot + environment + "/refs" }

func claimsKey(environment, flagKey string) string { return claimsRoot + environment + "/" + flagKey }

func decisionPrefix(environment, rollout string) string {
	return decisionsRoot + environment + "/" + rollout + "/"
}

func decisionKey(environment, rollout string, number uint64) string {
	return decisionPrefix(environment, rollout) + countingDown(int64(number))
}

func evidenceKey(environment, rollout string) string {
	return evidenceRoot + environment + "/" + rollout
}

func requestKey(environment, requestID string) string {
	return requestsRoot + environment + "/" + requestID
}

// parseStateKey tells what a key under stateRoot holds. A key of the environment that
// is not a resource's (the guard, or what a later version keeps there) has a nil kind.
func parseStateKey(key string) (resource, bool) {
	environment, rest, ok := strings.Cut(strings.TrimPrefix(key, stateRoot), "/")
	if !ok || !strings.HasPrefix(key, stateRoot) || !environmentPattern.MatchString(environment) {
		return resource{}, false
	}
	letter, name, _ := strings.Cut(rest, "/")
	k := kindOf(letter)
	if k == nil || !keyPattern.MatchString(name) {
		return resource{environment: environment}, true
	}
	return resource{environment: environment, kind: k, key: name}, true
}

// What names may look like. None of them may hold a '/'.
var (
	environmentPattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	keyPattern         = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	keyPrefixPattern   = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]{0,127})?$`)
	requestIDPattern   = regexp.MustCompile(`^[A-Za-z0-9._:@+=~-]{1,64}$`)
)
