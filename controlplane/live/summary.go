package live

import (
	"slices"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	rolloutv1 "github.com/tidegate/tidegate/gen/go/tidegate/rollout/v1"
	"github.com/tidegate/tidegate/internal/rollout"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// maxText is how much of a description a list shows, in bytes.
const maxText = 1000

// owned are the rollouts, not over, by the flags that they own something of.
type owned map[string][]string

func ownedIn(s *snapshot.Snapshot) owned {
	o := make(owned)
	for _, item := range s.Rollouts() {
		if r, err := item.Rollout(); err == nil && rollout.Active(r) {
			o[r.GetFlagKey()] = append(o[r.GetFlagKey()], item.Key)
		}
	}
	return o
}

// flagSummary sums up a flag that may be unusable, and may even be none.
func (s *stream) flagSummary(item snapshot.Item, unusable bool) *controlv1.FlagSummary {
	m := &controlv1.FlagSummary{Key: item.Key, Revision: item.ModRevision, Unusable: unusable}
	for _, key := range s.owned[item.Key] {
		if s.reader.KnowsRollout(key, item.Key) {
			m.Rollouts = append(m.Rollouts, key)
		} else {
			m.HiddenRollouts++
		}
	}
	f, err := item.Flag()
	if err != nil {
		m.Unusable = true
		return m
	}
	m.Description, m.Owner, m.Tags = shortened(f.GetDescription()), f.GetOwner(), f.GetTags()
	m.Kind, m.Type, m.Enabled, m.ClientVisible = f.GetKind(), f.GetType(), f.GetEnabled(), f.GetClientVisible()
	m.OffVariant, m.Rules = f.GetOffVariant(), uint32(len(f.GetRules()))
	for _, v := range f.GetVariants() {
		m.Variants = append(m.Variants, v.GetName())
	}
	m.DefaultVariant, m.DefaultSplit = f.GetDefaultOutcome().GetVariant(), f.GetDefaultOutcome().GetSplit().GetVariants()
	for _, p := range f.GetPrerequisites() {
		m.Prerequisites = append(m.Prerequisites, p.GetFlagKey())
	}
	m.Segments = segmentsOf(f)
	return m
}

// segmentsOf are the segments that a flag refers to, each once, in order.
func segmentsOf(f *flagv1.Flag) (keys []string) {
	for _, r := range f.GetRules() {
		for _, c := range r.GetClauses() {
			if c.GetOperator() != flagv1.Operator_OPERATOR_IN_SEGMENT {
				continue
			}
			for _, v := range c.GetValues() {
				keys = append(keys, v.GetStringValue())
			}
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func segmentSummary(item snapshot.Item) *controlv1.SegmentSummary {
	m := &controlv1.SegmentSummary{Key: item.Key, Revision: item.ModRevision}
	s, err := item.Segment()
	if err != nil {
		return m
	}
	m.Description, m.Owner = shortened(s.GetDescription()), s.GetOwner()
	m.Included, m.Excluded, m.Rules = uint32(len(s.GetIncluded())), uint32(len(s.GetExcluded())), uint32(len(s.GetRules()))
	return m
}

func rolloutSummary(item snapshot.Item) *controlv1.RolloutSummary {
	m := &controlv1.RolloutSummary{Key: item.Key, Revision: item.ModRevision}
	r, err := item.Rollout()
	if err != nil {
		return m
	}
	m.FlagKey, m.Rule, m.Treatment, m.Control, m.Strategy = r.GetFlagKey(), r.GetRule(), r.GetTreatment(), r.GetControl(), r.GetStrategy()
	for _, s := range r.GetStages() {
		m.Stages = append(m.Stages, s.GetWeight())
	}
	for _, g := range r.GetGuardrails() {
		m.Guardrails = append(m.Guardrails, g.GetName())
	}
	m.Owner = r.GetOwner()
	m.SuccessMetric, m.SuccessStatistic = r.GetSuccess().GetMetric(), r.GetSuccess().GetStatistic()
	m.Status = shortStatus(r.GetStatus())
	return m
}

// shortStatus is a status without its steps.
func shortStatus(s *rolloutv1.Status) *rolloutv1.Status {
	if s == nil {
		return nil
	}
	s = proto.CloneOf(s)
	s.Steps = nil
	return s
}

// shortened cuts a text for a list.
func shortened(text string) string {
	if len(text) <= maxText {
		return text
	}
	cut := maxText
	for cut > 0 && text[cut]&0xc0 == 0x80 { // within a character
		cut--
	}
	return text[:cut] + "..."
}
