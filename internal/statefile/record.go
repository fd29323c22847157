package statefile

import (
	"encoding/binary"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	syncv1 "github.com/tidegate/tidegate/gen/go/tidegate/sync/v1"
	"github.com/tidegate/tidegate/internal/snapshot"
)

// The first byte of a payload says what it is.
const (
	// recordHeader opens a file: a mark and the environment's name. In a snapshot file
	// it names the state, in a log the state from which the log starts.
	recordHeader byte = 'H'
	// recordMark says that a state was current at a time; it may advance the revision.
	recordMark byte = 'M'
	// recordUpdate is a tidegate.sync.v1.Update: a chunk of a change, as it travels.
	recordUpdate byte = 'U'
	// recordKept is a tidegate.sync.v1.Update without begin and commit: see
	// snapshot.Kept. Its puts are the versions in force, its deletes what has none, in the
	// state to which the next change leads.
	recordKept byte = 'K'
)

// markSize is the length of an encoded mark.
const markSize = 1 + 6*8

// mark is a state and when it was last known to be current; zero if never.
type mark struct {
	cursor    snapshot.Cursor
	confirmed time.Time
}

func (m mark) encode(kind byte) []byte {
	b := append(make([]byte, 0, markSize), kind)
	b = binary.LittleEndian.AppendUint64(b, m.cursor.Epoch.Counter)
	b = binary.LittleEndian.AppendUint64(b, m.cursor.Epoch.Random)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.cursor.Revision))
	b = binary.LittleEndian.AppendUint64(b, m.cursor.Digest.Lo)
	b = binary.LittleEndian.AppendUint64(b, m.cursor.Digest.Hi)
	var nanos int64
	if !m.confirmed.IsZero() {
		nanos = m.confirmed.UnixNano()
	}
	return binary.LittleEndian.AppendUint64(b, uint64(nanos))
}

// parseMark reads a mark and returns what follows it.
func parseMark(payload []byte) (mark, []byte, error) {
	if len(payload) < markSize {
		return mark{}, nil, fmt.Errorf("%w: mark of %d bytes", errDamaged, len(payload))
	}
	field := func(i int) uint64 { return binary.LittleEndian.Uint64(payload[1+8*i:]) }
	m := mark{cursor: snapshot.Cursor{
		Epoch:    snapshot.Epoch{Counter: field(0), Random: field(1)},
		Revision: int64(field(2)),
		Digest:   snapshot.Digest{Lo: field(3), Hi: field(4)},
	}}
	if nanos := int64(field(5)); nanos != 0 {
		m.confirmed = time.Unix(0, nanos)
	}
	return m, payload[markSize:], nil
}

// appendHeader appends the first frame of a file.
func appendHeader(b []byte, environment string, m mark) []byte {
	return appendFrame(b, append(m.encode(recordHeader), environment...))
}

// readHeader reads the first frame of a file.
func readHeader(f *frameReader, environment string) (mark, error) {
	payload, err := f.next()
	if err != nil {
		return mark{}, err
	}
	if len(payload) == 0 || payload[0] != recordHeader {
		return mark{}, fmt.Errorf("%w: no header record", errDamaged)
	}
	m, name, err := parseMark(payload)
	if err != nil {
		return mark{}, err
	}
	if string(name) != environment {
		return mark{}, fmt.Errorf("%w: holds environment %q, not %q", errDamaged, name, environment)
	}
	return m, nil
}

// appendUpdate appends one chunk of a change, or of what is kept, as a frame.
func appendUpdate(b []byte, kind byte, u *syncv1.Update) ([]byte, error) {
	payload, err := proto.MarshalOptions{}.MarshalAppend([]byte{kind}, u)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	if len(payload) > maxPayload {
		return nil, fmt.Errorf("record of %d bytes: want at most %d", len(payload), maxPayload)
	}
	return appendFrame(b, payload), nil
}

// appendDelta appends a delta as frames.
func appendDelta(b []byte, d snapshot.Delta) ([]byte, error) {
	var err error
	for u := range d.Updates() {
		if b, err = appendUpdate(b, recordUpdate, u); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// appendKept appends what is kept as frames, one an item: none is larger than the item
// was when it came.
func appendKept(b []byte, k snapshot.Kept) ([]byte, error) {
	var err error
	for _, i := range k.Good {
		put := &syncv1.Put{Kind: i.Kind, Key: i.Key, ModRevision: i.ModRevision, Data: i.Data}
		if b, err = appendUpdate(b, recordKept, &syncv1.Update{Puts: []*syncv1.Put{put}}); err != nil {
			return nil, err
		}
	}
	for _, id := range k.None {
		del := &syncv1.Delete{Kind: id.Kind, Key: id.Key}
		if b, err = appendUpdate(b, recordKept, &syncv1.Update{Deletes: []*syncv1.Delete{del}}); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// readKept adds a recordKept's payload to k.
func readKept(payload []byte, k *snapshot.Kept) error {
	u, err := readUpdate(payload)
	if err != nil {
		return err
	}
	for _, p := range u.GetPuts() {
		k.Good = append(k.Good, snapshot.Item{
			Kind: p.GetKind(), Key: p.GetKey(), ModRevision: p.GetModRevision(), Data: p.GetData(),
		})
	}
	for _, d := range u.GetDeletes() {
		k.None = append(k.None, snapshot.ID{Kind: d.GetKind(), Key: d.GetKey()})
	}
	return nil
}

// readUpdate reads an Update frame's payload.
func readUpdate(payload []byte) (*syncv1.Update, error) {
	u := new(syncv1.Update)
	if err := proto.Unmarshal(payload[1:], u); err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return u, nil
}
