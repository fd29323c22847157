package snapshot_test

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	flagv1 "github.com/tidegate/tidegate/gen/go/tidegate/flag/v1"
	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

const (
	flagKind    = syncv1.Kind_KIND_FLAG
	segmentKind = syncv1.Kind_KIND_SEGMENT
	futureKind  = syncv1.Kind(77)
)

var epoch = snapshot.Epoch{Counter: 1, Random: 0xc0ffee}

func encode(t testing.TB, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// flagItem is a usable flag; what tells its versions apart is the description.
func flagItem(t testing.TB, key string, revision int64, description string) snapshot.Item {
	return snapshot.Item{Kind: flagKind, Key: key, ModRevision: revision, Data: encode(t, &flagv1.Flag{
		Key: key, Description: description, Type: flagv1.ValueType_VALUE_TYPE_BOOLEAN, Enabled: true,
		Variants: []*flagv1.Variant{
			{Name: "on", Value: structpb.NewBoolValue(true)},
			{Name: "off", Value: structpb.NewBoolValue(false)},
		},
		OffVariant:     "off",
		DefaultOutcome: &flagv1.Outcome{Kind: &flagv1.Outcome_Variant{Variant: "on"}},
	})}
}

func segmentItem(t testing.TB, key string, revision int64) snapshot.Item {
	return snapshot.Item{Kind: segmentKind, Key: key, ModRevision: revision, Data: encode(t, &flagv1.Segment{
		Key: key, Included: []string{"user-1", fmt.Sprint(revision)},
	})}
}

func brokenItem(key string, revision int64) snapshot.Item {
	return snapshot.Item{Kind: flagKind, Key: key, ModRevision: revision, Data: []byte{0xff, 0xff, 0xff}}
}

func futureItem(key string, revision int64) snapshot.Item {
	return snapshot.Item{Kind: futureKind, Key: key, ModRevision: revision, Data: []byte(key)}
}

// digestOf computes the digest from its definition in sync.proto, with big integers.
func digestOf(items []snapshot.Item) []byte {
	sum, modulus := new(big.Int), new(big.Int).Lsh(big.NewInt(1), 128)
	for _, it := range items {
		var in []byte
		in = binary.LittleEndian.AppendUint32(in, uint32(it.Kind))
		in = binary.LittleEndian.AppendUint32(in, uint32(len(it.Key)))
		in = append(in, it.Key...)
		in = binary.LittleEndian.AppendUint64(in, uint64(it.ModRevision))
		in = append(in, it.Data...)
		h := sha256.Sum256(in)
		term := slices.Clone(h[:16])
		slices.Reverse(term)
		sum.Add(sum, new(big.Int).SetBytes(term))
		sum.Mod(sum, modulus)
	}
	out := sum.FillBytes(make([]byte, 16))
	slices.Reverse(out)
	return out
}

func items(s *snapshot.Snapshot) []snapshot.Item {
	return slices.SortedFunc(s.Items(), func(a, b snapshot.Item) int {
		return slices.Compare([]string{fmt.Sprint(a.Kind), a.Key}, []string{fmt.Sprint(b.Kind), b.Key})
	})
}

func TestNext(t *testing.T) {
	empty := snapshot.New("production", epoch)
	if empty.Eval().FlagCount() != 0 || empty.Len() != 0 || empty.Cursor().Digest != (snapshot.Digest{}) {
		t.Fatalf("the empty state is not empty: %v", empty.Cursor())
	}
	a, b, seg := flagItem(t, "a", 5, ""), flagItem(t, "b", 5, ""), segmentItem(t, "a", 5)
	one, d := empty.Next(5, []snapshot.Item{a, b, seg, futureItem("a", 5)}, nil)
	if len(d.Puts) != 4 || d.Base != empty.Cursor() || d.Target != one.Cursor() || d.Full {
		t.Fatalf("delta %+v", d)
	}
	if one.Len() != 4 || one.Bytes() != len(a.Data)+len(b.Data)+len(seg.Data)+1 {
		t.Fatalf("%d items, %d bytes", one.Len(), one.Bytes())
	}
	if one.Eval().Flag("a") == nil || one.Eval().Segment("a") == nil || one.Eval().FlagCount() != 2 {
		t.Fatal("flags and segments are not compiled")
	}

	// What changes nothing is no part of the delta; deletes come before puts.
	a7 := flagItem(t, "a", 7, "newer")
	two, d := one.Next(7, []snapshot.Item{b, a, a7}, []snapshot.ID{
		{Kind: flagKind, Key: "a"}, {Kind: flagKind, Key: "absent"}, seg.ID(), futureItem("a", 5).ID(),
	})
	if len(d.Puts) != 1 || d.Puts[0].ModRevision != 7 || len(d.Deletes) != 2 {
		t.Fatalf("delta %+v", d)
	}
	for _, del := range d.Deletes {
		if del.ModRevision != 5 {
			t.Errorf("%s is deleted as of revision %d", del.ID, del.ModRevision)
		}
	}
	if got := two.Eval().Flag("a").Revision(); got != 7 {
		t.Errorf("flag a is of revision %d", got)
	}
	if two.Eval().Flag("b") != one.Eval().Flag("b") {
		t.Error("flag b was compiled again")
	}
	if _, ok := two.Item(segmentKind, "a"); ok || two.Eval().Segment("a") != nil {
		t.Error("segment a is still there")
	}
	if it, ok := one.Item(flagKind, "a"); !ok || it.ModRevision != 5 {
		t.Error("the snapshot that was changed is not what it was")
	}
	if same, d := two.Next(9, nil, nil); len(d.Puts)+len(d.Deletes) != 0 || !same.Cursor().SameState(two.Cursor()) {
		t.Errorf("a change of nothing is %+v", d)
	}
}

func TestDigestIsAsDefined(t *testing.T) {
	list := []snapshot.Item{flagItem(t, "a", 5, ""), segmentItem(t, "a", 6), futureItem("x", 7), brokenItem("y", 8)}
	s, _ := snapshot.New("production", epoch).Next(8, list, nil)
	if got, want := s.Cursor().Proto().GetDigest(), digestOf(list); !slices.Equal(got, want) {
		t.Errorf("digest %x, want %x", got, want)
	}
	// Frozen: a change of it is a change of the protocol.
	fixed, _ := snapshot.New("e", epoch).Next(3, []snapshot.Item{
		{Kind: flagKind, Key: "a", ModRevision: 2, Data: []byte("one")},
		{Kind: segmentKind, Key: "b", ModRevision: 3, Data: []byte("two")},
	}, nil)
	if got, want := fixed.Cursor().Digest.String(), "e2eb00718e2468f62a82fe27b25daf29"; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

func TestCursorProto(t *testing.T) {
	s, _ := snapshot.New("production", epoch).Next(5, []snapshot.Item{futureItem("a", 5)}, nil)
	c, err := snapshot.CursorFromProto(s.Cursor().Proto())
	if err != nil || c != s.Cursor() {
		t.Errorf("%v, %v; want %v", c, err, s.Cursor())
	}
	for name, p := range map[string]*syncv1.Cursor{
		"nil":      nil,
		"no epoch": {Revision: 1, Digest: make([]byte, 16)},
		"short":    {Epoch: &syncv1.Epoch{}, Digest: make([]byte, 15)},
		"long":     {Epoch: &syncv1.Epoch{}, Digest: make([]byte, 17)},
		"negative": {Epoch: &syncv1.Epoch{}, Revision: -1, Digest: make([]byte, 16)},
	} {
		if _, err := snapshot.CursorFromProto(p); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if got, want := c.String(), "1-0000000000c0ffee/5/"+c.Digest.String(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestAdvance(t *testing.T) {
	s, _ := snapshot.New("production", epoch).Next(5, []snapshot.Item{flagItem(t, "a", 5, "")}, nil)
	later := s.Advance(9)
	if later.Cursor().Revision != 9 || !later.Cursor().SameState(s.Cursor()) || later.Eval() != s.Eval() {
		t.Errorf("%v after %v", later.Cursor(), s.Cursor())
	}
	if s.Cursor().Revision != 5 || later.Advance(7) != later || later.Advance(9) != later {
		t.Error("a revision went back, or changed in place")
	}
}

func TestApplyRefuses(t *testing.T) {
	base, _ := snapshot.New("production", epoch).Next(10, []snapshot.Item{
		flagItem(t, "a", 5, ""), flagItem(t, "b", 10, ""),
	}, nil)
	_, good := base.Next(12, []snapshot.Item{flagItem(t, "a", 12, ""), flagItem(t, "c", 11, "")}, []snapshot.ID{{Kind: flagKind, Key: "b"}})
	whole := func() snapshot.Delta {
		d := good
		d.Puts, d.Deletes = slices.Clone(good.Puts), slices.Clone(good.Deletes)
		slices.SortFunc(d.Puts, func(a, b snapshot.Item) int { return slices.Compare([]byte(a.Key), []byte(b.Key)) })
		return d
	}
	if _, err := base.Apply(whole()); err != nil {
		t.Fatalf("the good delta: %v", err)
	}
	for name, tc := range map[string]struct {
		spoil func(*snapshot.Delta)
		want  error
	}{
		"another environment":     {func(d *snapshot.Delta) { d.Environment = "staging" }, snapshot.ErrMalformed},
		"another base":            {func(d *snapshot.Delta) { d.Base.Digest.Lo++ }, snapshot.ErrBase},
		"base of another epoch":   {func(d *snapshot.Delta) { d.Base.Epoch.Random++ }, snapshot.ErrBase},
		"target of another epoch": {func(d *snapshot.Delta) { d.Target.Epoch.Counter++ }, snapshot.ErrMalformed},
		"revision back":           {func(d *snapshot.Delta) { d.Target.Revision = 9 }, snapshot.ErrRevision},
		"negative revision":       {func(d *snapshot.Delta) { d.Target.Revision = -1 }, snapshot.ErrMalformed},
		"wrong digest":            {func(d *snapshot.Delta) { d.Target.Digest.Hi ^= 1 << 63 }, snapshot.ErrDigest},
		"a flipped bit":           {func(d *snapshot.Delta) { d.Puts[0].Data = slices.Concat(d.Puts[0].Data[1:], []byte{0}) }, snapshot.ErrDigest},
		"a missing put":           {func(d *snapshot.Delta) { d.Puts = d.Puts[1:] }, snapshot.ErrDigest},
		"a missing delete":        {func(d *snapshot.Delta) { d.Deletes = nil }, snapshot.ErrDigest},
		"put twice":               {func(d *snapshot.Delta) { d.Puts = append(d.Puts, d.Puts[1]) }, snapshot.ErrMalformed},
		"put twice, rising":       {func(d *snapshot.Delta) { d.Puts = append(d.Puts, flagItem(t, "c", 12, "")) }, snapshot.ErrMalformed},
		"full with an item twice": {func(d *snapshot.Delta) { d.Full, d.Deletes, d.Puts = true, nil, append(d.Puts, d.Puts[0]) }, snapshot.ErrMalformed},
		"deleted twice":           {func(d *snapshot.Delta) { d.Deletes = append(d.Deletes, d.Deletes[0]) }, snapshot.ErrMalformed},
		"deleted and put":         {func(d *snapshot.Delta) { d.Puts[1].Key = "b" }, snapshot.ErrMalformed},
		"delete of nothing":       {func(d *snapshot.Delta) { d.Deletes[0].Key = "z" }, snapshot.ErrMalformed},
		"delete as of another":    {func(d *snapshot.Delta) { d.Deletes[0].ModRevision = 9 }, snapshot.ErrMalformed},
		"item from the future":    {func(d *snapshot.Delta) { d.Puts[0].ModRevision = 13 }, snapshot.ErrMalformed},
		"item without revision":   {func(d *snapshot.Delta) { d.Puts[0].ModRevision = 0 }, snapshot.ErrMalformed},
		"item of old":             {func(d *snapshot.Delta) { d.Puts[0].ModRevision = 4 }, snapshot.ErrMalformed},
		"item again":              {func(d *snapshot.Delta) { d.Puts[0].ModRevision = 5 }, snapshot.ErrMalformed},
		"item without kind":       {func(d *snapshot.Delta) { d.Puts[0].Kind = 0 }, snapshot.ErrMalformed},
		"item without key":        {func(d *snapshot.Delta) { d.Puts[0].Key = "" }, snapshot.ErrMalformed},
		"full that deletes":       {func(d *snapshot.Delta) { d.Full = true }, snapshot.ErrMalformed},
		"full of another digest":  {func(d *snapshot.Delta) { d.Full, d.Deletes, d.Puts = true, nil, d.Puts[1:] }, snapshot.ErrDigest},
		"full of an old revision": {func(d *snapshot.Delta) { d.Full, d.Deletes, d.Target.Revision = true, nil, 9 }, snapshot.ErrRevision},
	} {
		t.Run(name, func(t *testing.T) {
			d, before := whole(), base.Cursor()
			tc.spoil(&d)
			got, err := base.Apply(d)
			if got != nil || !errors.Is(err, tc.want) {
				t.Errorf("%v; want %v", err, tc.want)
			}
			if base.Cursor() != before || base.Len() != 2 || !slices.Equal(base.Cursor().Digest.Bytes(), digestOf(items(base))) {
				t.Error("the snapshot was changed")
			}
		})
	}
}

func TestApplyFullKeepsWhatDidNotChange(t *testing.T) {
	here, _ := snapshot.New("production", epoch).Next(5, []snapshot.Item{flagItem(t, "a", 4, ""), flagItem(t, "b", 5, "")}, nil)
	there, _ := snapshot.New("production", epoch).Next(8, []snapshot.Item{
		flagItem(t, "a", 4, ""), flagItem(t, "b", 8, ""), flagItem(t, "c", 7, ""),
	}, nil)
	got, err := here.Apply(there.Full())
	if err != nil {
		t.Fatal(err)
	}
	if got.Cursor() != there.Cursor() || got.Eval().FlagCount() != 3 {
		t.Errorf("%v with %d flags, want %v", got.Cursor(), got.Eval().FlagCount(), there.Cursor())
	}
	if got.Eval().Flag("a") != here.Eval().Flag("a") {
		t.Error("flag a was compiled again")
	}
	if got.Eval().Flag("b") == here.Eval().Flag("b") {
		t.Error("flag b is the old one")
	}

	// Another epoch: the same way, at any revision.
	restored, _ := snapshot.New("production", snapshot.Epoch{Counter: 2}).Next(3, []snapshot.Item{flagItem(t, "a", 3, "")}, nil)
	if got, err = got.Apply(restored.Full()); err != nil || got.Cursor() != restored.Cursor() || got.Eval().FlagCount() != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := got.Apply(snapshot.Diff(here, there)); !errors.Is(err, snapshot.ErrBase) {
		t.Errorf("a delta of the old epoch: %v", err)
	}
}

func TestLastKnownGood(t *testing.T) {
	good, _ := snapshot.New("production", epoch).Next(5, []snapshot.Item{
		flagItem(t, "a", 5, ""), brokenItem("never", 5), segmentItem(t, "a", 5),
	}, nil)
	if r := good.Rejections(); len(r) != 1 || r[0].Item.Key != "never" || r[0].Err == nil {
		t.Fatalf("rejections %v", r)
	}
	misnamed := flagItem(t, "b", 6, "")
	misnamed.Key = "a"
	brokenSegment := snapshot.Item{Kind: segmentKind, Key: "a", ModRevision: 6, Data: []byte{1}}
	bad, d := good.Next(6, []snapshot.Item{misnamed, brokenSegment}, nil)
	check := func(t *testing.T, s *snapshot.Snapshot) {
		t.Helper()
		var keys []string
		for _, r := range s.Rejections() {
			keys = append(keys, r.Item.ID().String())
		}
		if want := []string{`flag "a"`, `flag "never"`, `segment "a"`}; !slices.Equal(keys, want) {
			t.Errorf("rejections %v, want %v", keys, want)
		}
		if f := s.Eval().Flag("a"); f == nil || f.Revision() != 5 {
			t.Error("the last good version of flag a is not in force")
		}
		if s.Eval().Segment("a") == nil || s.Eval().Flag("b") != nil || s.Eval().Flag("never") != nil {
			t.Error("what is in force is wrong")
		}
		if it, _ := s.Item(flagKind, "a"); it.ModRevision != 6 {
			t.Error("the item as received is not kept")
		}
	}
	check(t, bad)
	if applied, err := good.Apply(d); err != nil {
		t.Error(err)
	} else {
		check(t, applied)
	}
	if applied, err := good.Apply(bad.Full()); err != nil {
		t.Error(err)
	} else {
		check(t, applied)
	}

	// Mended, and deleted for good.
	mended, _ := bad.Next(7, []snapshot.Item{flagItem(t, "a", 7, "")}, []snapshot.ID{
		{Kind: flagKind, Key: "never"}, {Kind: segmentKind, Key: "a"},
	})
	if len(mended.Rejections()) != 0 || mended.Eval().Flag("a").Revision() != 7 || mended.Eval().Segment("a") != nil {
		t.Errorf("rejections %v", mended.Rejections())
	}
	if len(good.Rejections()) != 1 || len(bad.Rejections()) != 3 {
		t.Error("rejections of another snapshot changed")
	}
	again, _ := mended.Next(8, []snapshot.Item{brokenItem("never", 8)}, nil)
	if len(again.Rejections()) != 1 || again.Eval().Flag("never") != nil {
		t.Error("a deleted version is in force")
	}
}
