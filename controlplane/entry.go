package controlplane

import (
	"crypto/sha256"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/bucketing"
)

// marshal is how everything is encoded that is stored: once, when it is written.
func marshal(m proto.Message) ([]byte, error) {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("controlplane: encode %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return data, nil
}

// pinned returns a flag with its bucketing versions; anything else as it is.
func pinned(m proto.Message) proto.Message {
	if f, ok := m.(*flagv1.Flag); ok {
		return bucketing.Pin(f)
	}
	return m
}

// auditable returns what answers and audit entries may have of a resource: a key or an identity
// without its hashes, anything else as it is.
func auditable(m proto.Message) proto.Message {
	switch m := m.(type) {
	case *accessv1.Key:
		shown := proto.CloneOf(m)
		shown.SecretHash, shown.PreviousSecretHash = nil, nil
		return shown
	case *accessv1.Identity:
		shown := proto.CloneOf(m)
		shown.PasswordHash = ""
		for _, s := range shown.GetSecrets() {
			s.Hash = nil
		}
		return shown
	}
	return m
}

// kept returns what is kept of a resource where it is: a change request without what it would
// write, which its first audit entry has; anything else as it is.
func kept(m proto.Message) proto.Message {
	if r, ok := m.(*controlv1.ChangeRequest); ok && r.GetChange() != nil {
		own := proto.CloneOf(r)
		own.Change = nil
		return own
	}
	return m
}

// newMessage returns an empty message of the kind.
func (k *kind) newMessage() proto.Message {
	switch k {
	case flagKind:
		return new(flagv1.Flag)
	case keyKind:
		return new(accessv1.Key)
	case rolloutKind:
		return new(rolloutv1.Rollout)
	case identityKind:
		return new(accessv1.Identity)
	case environmentKind:
		return new(controlv1.EnvironmentSettings)
	case changeRequestKind:
		return new(controlv1.ChangeRequest)
	case freezeKind:
		return new(controlv1.Freezes)
	}
	return new(flagv1.Segment)
}

// decode reads a stored message of the kind.
func (k *kind) decode(data []byte) (proto.Message, error) {
	m := k.newMessage()
	if err := proto.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return m, nil
}

// decodeEntry reads an audit entry. An entry is stored without its own revision, which
// nobody knows before it commits: that is the key's.
func decodeEntry(kv store.KV) (*controlv1.AuditEntry, error) {
	entry := new(controlv1.AuditEntry)
	if err := proto.Unmarshal(kv.Value, entry); err != nil {
		return nil, fmt.Errorf("%w: audit entry %s: %w", ErrCorrupt, kv.Key, err)
	}
	entry.Revision = kv.ModRevision
	return entry, nil
}

// entryHash is what the next entry of the chain has as previous_hash: SHA-256 of the
// stored bytes.
func entryHash(stored []byte) []byte {
	sum := sha256.Sum256(stored)
	return sum[:]
}

// entryResource is what the entry is about, after the change; nil if it was deleted.
func entryResource(e *controlv1.AuditEntry) proto.Message {
	switch r := e.GetResource().(type) {
	case *controlv1.AuditEntry_Flag:
		if r.Flag != nil {
			return r.Flag
		}
	case *controlv1.AuditEntry_Segment:
		if r.Segment != nil {
			return r.Segment
		}
	case *controlv1.AuditEntry_AccessKey:
		if r.AccessKey != nil {
			return r.AccessKey
		}
	case *controlv1.AuditEntry_Rollout:
		if r.Rollout != nil {
			return r.Rollout
		}
	case *controlv1.AuditEntry_Identity:
		if r.Identity != nil {
			return r.Identity
		}
	case *controlv1.AuditEntry_EnvironmentSettings:
		if r.EnvironmentSettings != nil {
			return r.EnvironmentSettings
		}
	case *controlv1.AuditEntry_ChangeRequest:
		if r.ChangeRequest != nil {
			return r.ChangeRequest
		}
	case *controlv1.AuditEntry_Freeze:
		if r.Freeze != nil {
			return r.Freeze
		}
	}
	return nil
}

func setEntryResource(e *controlv1.AuditEntry, m proto.Message) {
	switch m := m.(type) {
	case *flagv1.Flag:
		e.Resource = &controlv1.AuditEntry_Flag{Flag: m}
	case *flagv1.Segment:
		e.Resource = &controlv1.AuditEntry_Segment{Segment: m}
	case *accessv1.Key:
		e.Resource = &controlv1.AuditEntry_AccessKey{AccessKey: m}
	case *rolloutv1.Rollout:
		e.Resource = &controlv1.AuditEntry_Rollout{Rollout: m}
	case *accessv1.Identity:
		e.Resource = &controlv1.AuditEntry_Identity{Identity: m}
	case *controlv1.EnvironmentSettings:
		e.Resource = &controlv1.AuditEntry_EnvironmentSettings{EnvironmentSettings: m}
	case *controlv1.ChangeRequest:
		e.Resource = &controlv1.AuditEntry_ChangeRequest{ChangeRequest: m}
	case *controlv1.Freezes:
		e.Resource = &controlv1.AuditEntry_Freeze{Freeze: m}
	}
}

func kindOfControl(k controlv1.ResourceKind) *kind {
	for _, known := range []*kind{segmentKind, keyKind, rolloutKind, identityKind, environmentKind, changeRequestKind, freezeKind} {
		if known.control == k {
			return known
		}
	}
	return flagKind
}
