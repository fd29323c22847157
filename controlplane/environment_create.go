package controlplane

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/tidegate/tidegate/controlplane/store"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
)

// making is one request to make an environment.
type making struct {
	*Authority
	caller  Caller
	request *controlv1.CreateEnvironmentRequest
	counts  *restoredCounts
	// filling is the revision of the environment's filling; 0: there is none.
	filling int64
}

// CreateEnvironment makes an environment, empty or of another one. One that was interrupted goes
// on when it is asked for again.
func (a *Authority) CreateEnvironment(ctx context.Context, c Caller, r *controlv1.CreateEnvironmentRequest) (*controlv1.CreateEnvironmentResponse, error) {
	if err := checkCreate(r); err != nil {
		return nil, err
	}
	if r.GetFromEnvironment() != "" {
		if err := a.checkEnvironment(ctx, r.GetFromEnvironment()); err != nil {
			return nil, err
		}
	}
	if r.GetRequestId() == "" {
		r = proto.CloneOf(r)
		r.RequestId = uuid.NewString()
	}
	m := &making{Authority: a, caller: c, request: r, counts: &restoredCounts{}}
	made, err := m.begin(ctx)
	if err == nil && !made {
		err = m.fill(ctx)
	}
	if err != nil {
		// The same request at the same time may have been faster.
		if made, readErr := m.isMade(ctx); readErr != nil || !made {
			return nil, err
		}
	}
	return m.finish(ctx)
}

func checkCreate(r *controlv1.CreateEnvironmentRequest) error {
	var check checker
	check.environment("name", r.GetName())
	switch {
	case r.GetFromEnvironment() != "" && r.GetFromEnvironment() == r.GetName():
		check.add("from_environment", "must be another environment than the new one")
	case r.GetFromEnvironment() != "":
		check.environment("from_environment", r.GetFromEnvironment())
	case r.GetDisable():
		check.add("disable", "is set without from_environment: an empty environment has no flags")
	}
	check.settings("settings", r.GetName(), r.GetSettings())
	check.write(r)
	return check.err()
}

// begin makes the filling, or finds the one that the request made before. made: the
// environment is there.
func (m *making) begin(ctx context.Context) (made bool, err error) {
	digest, err := fingerprint(m.request)
	if err != nil {
		return false, err
	}
	name := m.request.GetName()
	results, revision, err := m.store.Read(ctx, store.Key(environmentKey(name)), store.Key(fillingKey(name)))
	if err != nil {
		return false, unavailable(err)
	}
	if len(results[0].KVs) > 0 {
		return true, nil
	}
	mine := filling{Request: m.request.GetRequestId(), Fingerprint: digest, Source: revision}
	for _, kv := range results[1].KVs {
		m.filling = kv.ModRevision
		if there, err := decodeFilling(kv); err == nil && there.Request == mine.Request && there.Fingerprint == mine.Fingerprint {
			m.counts.AsOf = there.Source
			return false, nil
		}
	}
	m.counts.AsOf = revision
	if m.request.GetFromEnvironment() == "" && m.filling == 0 {
		return false, nil // one transaction will do
	}
	value, err := mine.encode()
	if err != nil {
		return false, err
	}
	out, err := m.store.Commit(ctx, store.Txn{
		Compares: []store.Compare{store.Absent(environmentKey(name)), store.Unchanged(fillingKey(name), m.filling)},
		Ops:      []store.Op{store.Put(fillingKey(name), value)},
	})
	switch {
	case err != nil:
		return false, unavailable(err)
	case !out.Committed:
		return false, m.overtaken(ctx)
	}
	m.filling = out.Revision
	return false, nil
}

func (m *making) isMade(ctx context.Context) (bool, error) {
	results, _, err := m.store.Read(ctx, store.Key(environmentKey(m.request.GetName())))
	if err != nil {
		return false, unavailable(err)
	}
	return len(results[0].KVs) > 0, nil
}

// overtaken fails if another request is at the environment.
func (m *making) overtaken(ctx context.Context) error {
	name := m.request.GetName()
	results, _, err := m.store.Read(ctx, store.Key(fillingKey(name)))
	if err != nil {
		return unavailable(err)
	}
	current := int64(0)
	for _, kv := range results[0].KVs {
		current = kv.ModRevision
	}
	if current == m.filling && m.filling != 0 {
		return nil
	}
	return fmt.Errorf("another request is making environment %q, or has: %w", name, &ConflictError{Conflict: &controlv1.Conflict{
		Environment: name, Kind: environmentKind.control, Key: name, BaseRevision: m.filling, CurrentRevision: current,
	}})
}

// fill writes the flags and segments of the source, so far as they are not there.
func (m *making) fill(ctx context.Context) error {
	source := map[*kind]map[string]version{segmentKind: {}, flagKind: {}}
	if from := m.request.GetFromEnvironment(); from != "" {
		for k := range source {
			held, err := m.asOf(ctx, from, k, m.counts.AsOf)
			if err != nil {
				return err
			}
			source[k] = held
			m.counts.Created += int32(len(held))
		}
	}
	if m.filling == 0 {
		return nil
	}
	there, _, err := m.present(ctx, m.request.GetName(), 0)
	if err != nil {
		return err
	}
	parts, _ := chunks(m.missing(ctx, there, source)) // each is a group of its own
	for i, part := range parts {
		p := m.plan()
		p.unrecorded = true
		for _, c := range part {
			p.changes = append(p.changes, c.change)
		}
		p.changes[0].with.Compares = []store.Compare{store.Unchanged(fillingKey(m.request.GetName()), m.filling)}
		if _, err := m.write(ctx, p); err != nil {
			return fmt.Errorf("%w; %d of %d transactions were written, which nobody sees: the same request again goes on from there", err, i, len(parts)+1)
		}
	}
	m.counts.Transactions = int32(len(parts))
	return nil
}

func (m *making) plan() *plan {
	return &plan{request: m.request, caller: m.caller, environment: m.request.GetName(), unseen: true, counts: m.counts}
}

// missing is what the environment lacks of the source, and what it must not have.
func (m *making) missing(ctx context.Context, there, source map[*kind]map[string]version) [][]*restoring {
	var all [][]*restoring
	for _, k := range []*kind{segmentKind, flagKind} {
		keys := maps.Clone(source[k])
		maps.Copy(keys, there[k])
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			was, now := source[k][key], there[k][key]
			after := pinned(was.message)
			if flag, ok := after.(*flagv1.Flag); ok && m.request.GetDisable() {
				flag = proto.CloneOf(flag)
				flag.Enabled = false
				after = flag
			}
			if after != nil && now.message != nil && proto.Equal(after, now.message) {
				continue
			}
			c := &change{
				resource: resource{environment: m.request.GetName(), kind: k, key: key},
				field:    fmt.Sprintf("%ss[%s]", k.name, key), base: &now.revision, unchecked: true, // it was checked there
				restored: was.revision, restoredFrom: m.request.GetFromEnvironment(),
				content: func(version, version) (proto.Message, error) { return after, m.overtaken(ctx) },
			}
			if after == nil {
				c.verb, c.restored, c.restoredFrom = controlv1.Action_ACTION_DELETED, 0, ""
			}
			all = append(all, []*restoring{{change: c, before: now, after: after}})
		}
	}
	return all
}

// finish shows the environment: it is there with its settings. One that is there already is
// refused, unless this very request made it.
func (m *making) finish(ctx context.Context) (*controlv1.CreateEnvironmentResponse, error) {
	name := m.request.GetName()
	show := &change{
		resource: settingsOf(name), field: "settings", absent: true, verb: controlv1.Action_ACTION_CREATED,
	}
	if from := m.request.GetFromEnvironment(); from != "" {
		show.restored, show.restoredFrom = m.counts.AsOf, from
	}
	show.content = func(version, version) (proto.Message, error) {
		settings, err := m.settings(ctx)
		if err != nil {
			return nil, err
		}
		if m.filling != 0 {
			if err := m.overtaken(ctx); err != nil {
				return nil, err
			}
		}
		compares, err := m.checkChain(ctx, name, settings.GetPromotion())
		show.with = store.Txn{
			Compares: append(compares, store.Unchanged(fillingKey(name), m.filling)),
			Ops:      []store.Op{store.Put(guardKey(name), nil)},
		}
		if m.filling != 0 {
			show.with.Ops = append(show.with.Ops, store.Delete(fillingKey(name)))
		}
		return settings, err
	}
	p := m.plan()
	p.changes = []*change{show}
	m.counts.Transactions++
	w, err := m.write(ctx, p)
	if err != nil {
		return nil, err
	}
	counts := m.counts
	if w.repeated && w.counts != nil {
		counts = w.counts
	}
	entry := w.results[0].entry
	m.logger.Info().Str("environment", name).Str("from", m.request.GetFromEnvironment()).Int32("copied", counts.Created).
		Str("actor", m.caller.Actor).Str("reason", m.request.GetReason()).Msg("an environment was made")
	// Who asks this server next shall find it here, too; should it lag, the environment is there
	// all the same.
	waitCtx, cancel := context.WithTimeout(ctx, replicaPatience)
	defer cancel()
	_, _ = m.applier.wait(waitCtx, w.revision)
	settings, _ := w.results[0].message.(*controlv1.EnvironmentSettings)
	return &controlv1.CreateEnvironmentResponse{
		Settings: settings, Revision: w.revision, SourceRevision: entry.GetSourceRevision(), Copied: counts.Created, Entry: entry,
	}, nil
}

// settings are what the environment begins with.
func (m *making) settings(ctx context.Context) (*controlv1.EnvironmentSettings, error) {
	from := m.request.GetFromEnvironment()
	if m.request.GetSettings() != nil || from == "" {
		settings := m.request.GetSettings()
		if settings == nil {
			settings = &controlv1.EnvironmentSettings{}
		}
		return settings, nil
	}
	held, err := m.asOf(ctx, from, environmentKind, m.counts.AsOf)
	if err != nil {
		return nil, err
	}
	settings, ok := held[from].message.(*controlv1.EnvironmentSettings)
	if !ok {
		return &controlv1.EnvironmentSettings{}, nil // nothing was ever set
	}
	settings = proto.CloneOf(settings)
	settings.FileSources, settings.Promotion = nil, nil
	return settings, nil
}
