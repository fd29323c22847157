package statefile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/tidegate/tidegate/internal/snapshot"
)

// The epochs file has one frame: 16 bytes an epoch.
const (
	epochsFile  = "left-epochs"
	epochsMagic = "TGEPOC\x00\x01"
	epochSize   = 16
)

// LeftEpochs returns what SetLeftEpochs was given last; none if that is damaged: the file
// is set aside then.
func (d *Dir) LeftEpochs() ([]snapshot.Epoch, error) {
	f, err := d.files.Open(epochsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("statefile: read %s: %w", epochsFile, err)
	}
	list, err := readEpochs(f)
	_ = f.Close() // it was read
	switch {
	case errors.Is(err, errDamaged), errors.Is(err, errTorn):
		d.putAside(epochsFile, err)
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("statefile: read %s: %w", epochsFile, err)
	}
	return list, nil
}

// SetLeftEpochs keeps the epochs in the place of those that were kept. It waits for the
// disk.
func (d *Dir) SetLeftEpochs(list []snapshot.Epoch) error {
	d.mu.Lock()
	closed := d.closed
	d.mu.Unlock()
	if closed {
		return ErrClosed
	}
	content := appendEpochs([]byte(epochsMagic), list)
	err := replaceFile(d.files, epochsFile, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
	if err != nil {
		d.writeErrors.Add(1)
		return fmt.Errorf("statefile: write %s: %w", epochsFile, err)
	}
	return nil
}

func appendEpochs(b []byte, list []snapshot.Epoch) []byte {
	var payload []byte
	for _, e := range list {
		payload = binary.LittleEndian.AppendUint64(payload, e.Counter)
		payload = binary.LittleEndian.AppendUint64(payload, e.Random)
	}
	return appendFrame(b, payload)
}

func readEpochs(r io.Reader) ([]snapshot.Epoch, error) {
	frames, err := newFrameReader(r, epochsMagic)
	var payload []byte
	if err == nil {
		payload, err = frames.next()
	}
	switch {
	case errors.Is(err, io.EOF):
		return nil, errTorn
	case err != nil:
		return nil, err
	case len(payload)%epochSize != 0:
		return nil, fmt.Errorf("%w: %d bytes of epochs", errDamaged, len(payload))
	}
	var list []snapshot.Epoch
	for ; len(payload) > 0; payload = payload[epochSize:] {
		list = append(list, snapshot.Epoch{
			Counter: binary.LittleEndian.Uint64(payload), Random: binary.LittleEndian.Uint64(payload[8:]),
		})
	}
	if _, err := frames.next(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: more than one record of epochs", errDamaged)
	}
	return list, nil
}
