package controlplane

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/tidegate/tidegate/controlplane/identity"
	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
)

// The layout of the store. E is an environment, K is 'f' for flags, 's' for segments, 'k' for
// keys and 'r' for rollouts; of audit entries also 'n' for the environment's own settings, whose
// KEY is E, and 'p' for change requests, whose KEY is their number.
//
//	/tidegate/v1/meta/epoch              the life of the store, as JSON (see epoch.go);
//	                                     made once, replaced by BeginEpoch
//	/tidegate/v1/meta/freeze             what operators have frozen: the Freezes; absent: nothing.
//	                                     Compared by every write that a frozen environment
//	                                     refuses, so that none commits after it
//	/tidegate/v1/meta/environments/E     the environment exists; its EnvironmentSettings,
//	                                     empty until something is set
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
//	/tidegate/v1/c/E/filling             an environment that is being made of another one, as JSON
//	                                     (see filling.go): until it is gone, nobody sees what else
//	                                     is under c/E, and meta/environments/E is not there
//	/tidegate/v1/a/E/K/KEY/SEQUENCE      an AuditEntry. SEQUENCE counts down, so that
//	                                     keys run from newest to oldest
//	/tidegate/v1/o/E/FLAG                what rollouts that are not over own of a flag, as
//	                                     JSON (see claims.go); absent: nothing. Compared by
//	                                     every write of the flag but the kill switch, and
//	                                     changed as rollouts start and end, so that neither
//	                                     happens unseen by the other
//	/tidegate/v1/d/E/ROLLOUT/NUMBER      a Decision. NUMBER counts down, as SEQUENCE does
//	/tidegate/v1/t/e/E/ROLLOUT           the Evidence of a rollout; goes when that is deleted
//	/tidegate/v1/p/E/NUMBER              a ChangeRequest, without what it would write. NUMBER
//	                                     counts down
//	/tidegate/v1/p-due/E/NUMBER          when an open one is applied by itself; NUMBER is decimal
//	/tidegate/v1/s/E/ROLLOUT/LEVEL-SLOT  how its evidence stood over time (see package series),
//	                                     written by the leader; goes with the rollout
//	/tidegate/v1/u/E/SHARD               which flags are evaluated (see package usage),
//	                                     written by the leader
//	/tidegate/v1/q/E/REQUEST_ID          what became of a request, as JSON (see
//	                                     request.go); leased for a day
//
//	/tidegate/v1/h/E/NUMBER              a Seal of the audit entries below a/E. NUMBER counts down
//	/tidegate/v1/h-mark                  the revision that all trails are sealed through (see
//	                                     package audit)
//
//	/tidegate/v1/i/ID                    an Identity
//	/tidegate/v1/i-names/HASH            the id of the identity that is found by a name; HASH
//	                                     is its SHA-256, in hex
//	/tidegate/v1/i-guard                 changes with whatever takes an administrator away
//	/tidegate/v1/i-sessions/HASH         a Session; HASH is that of its token
//	/tidegate/v1/i-codes/HASH            a LoginCode; HASH is that of the code. Leased
//
// Where E is '_keys' in place of an environment, it is of a change to a key, which may be of
// several; where it is '_access', of an identity, K 'i'; where it is '_store', of the store itself:
// its epoch, K 'e', KEY 'epoch', and what is frozen, K 'z', KEY 'freeze'.
//
// A write is one transaction: it compares what it was decided on (the resource, the
// absence of the next audit entry and of the request, the guard) and puts the resource,
// its entry, the request, and the guard. So a resource and its history cannot disagree,
// the entries of a resource form one chain without gaps, over deletions too, and a
// request happens once.
const (
	root     = "/tidegate/v1/"
	epochKey = root + "meta/epoch"
	// freezeKey is where what is frozen is.
	freezeKey = root + "meta/freeze"
	// EnvironmentsRoot is what the keys of environments begin with; the rest is the name, the
	// value an EnvironmentSettings.
	EnvironmentsRoot = root + "meta/environments/"
	stateRoot        = root + "c/"
	auditRoot        = root + "a/"
	claimsRoot       = root + "o/"
	decisionsRoot    = root + "d/"
	evidenceRoot     = root + "t/e/"
	requestsRoot     = root + "q/"
	changesRoot      = root + "p/"
	dueRoot          = root + "p-due/"
	identityNames    = root + "i-names/"
	identityGuard    = root + "i-guard"
)

// AuditRoot is where the audit entries are: a trail for each environment, and for AccessTrail and
// StoreTrail.
const (
	AuditRoot   = auditRoot
	AccessTrail = accessScope
	StoreTrail  = storeScope
)

// What stands in the place of an environment. None can have such a name.
const (
	keyScope    = "_keys"
	accessScope = "_access"
	storeScope  = "_store"
)

// kind is what is stored of flags, of segments, of keys, of rollouts, of identities, of
// environments, of change requests or of what is frozen.
type kind struct {
	letter string
	name   string
	// field is where requests name one.
	field   string
	control controlv1.ResourceKind
	sync    syncv1.Kind // unspecified: relays do not get it
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
	identityKind = &kind{
		letter: "i", name: "identity", field: "id", control: controlv1.ResourceKind_RESOURCE_KIND_IDENTITY,
	}
	environmentKind = &kind{
		letter: "n", name: "environment", field: "environment", control: controlv1.ResourceKind_RESOURCE_KIND_ENVIRONMENT,
	}
	changeRequestKind = &kind{
		letter: "p", name: "change request", field: "number", control: controlv1.ResourceKind_RESOURCE_KIND_CHANGE_REQUEST,
	}
	freezeKind = &kind{
		letter: "z", name: "freeze", field: "environments", control: controlv1.ResourceKind_RESOURCE_KIND_FREEZE,
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
	case identityKind.letter:
		return identityKind
	case environmentKind.letter:
		return environmentKind
	case changeRequestKind.letter:
		return changeRequestKind
	case freezeKind.letter:
		return freezeKind
	}
	return nil
}

// resource identifies a flag, segment, key, rollout, identity, change request, the settings of an
// environment or what is frozen.
type resource struct {
	environment string
	kind        *kind
	key         string
}

func (r resource) String() string {
	switch r.kind {
	case freezeKind:
		return "what is frozen"
	case identityKind, environmentKind:
		return fmt.Sprintf("%s %q", r.kind.name, r.key)
	case changeRequestKind:
		return fmt.Sprintf("change request #%s in environment %q", r.key, r.environment)
	}
	return fmt.Sprintf("%s %q in environment %q", r.kind.name, r.key, r.environment)
}

func (r resource) stateKey() string {
	switch r.kind {
	case identityKind:
		return identity.Root + r.key
	case environmentKind:
		return environmentKey(r.environment)
	case changeRequestKind:
		number, _ := strconv.ParseInt(r.key, 10, 64) // it is made of one
		return changesRoot + r.environment + "/" + countingDown(number)
	case freezeKind:
		return freezeKey
	}
	return statePrefix(r.environment, r.kind) + r.key
}

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

func environmentKey(environment string) string { return EnvironmentsRoot + environment }

func statePrefix(environment string, k *kind) string {
	return stateRoot + environment + "/" + k.letter + "/"
}

// RolloutKey is where the store has a rollout.
func RolloutKey(environment, key string) string { return statePrefix(environment, rolloutKind) + key }

func guardKey(environment string) string { return stateRoot + environment + "/refs" }

func fillingKey(environment string) string { return stateRoot + environment + "/filling" }

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
	if k == nil || k.sync == syncv1.Kind_KIND_UNSPECIFIED || !keyPattern.MatchString(name) {
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
