package statefile

import (
	"bytes"
	"io"

	"github.com/tidegate/tidegate/internal/memfiles"
)

// memFiles is a directory in memory, as a Dir sees one.
type memFiles struct{ *memfiles.Files }

type inode = memfiles.Inode

func newMemFiles() memFiles { return memFiles{memfiles.New()} }

func (m memFiles) afterKill() memFiles { return memFiles{m.AfterKill()} }

func (m memFiles) afterPowerCut(renamed bool, part float64) memFiles {
	return memFiles{m.AfterPowerCut(renamed, part)}
}

// setSpace changes the space that is left.
func (m memFiles) setSpace(n int) { m.Set(func(m *memfiles.Files) { m.Space = n }) }

// setFailSync makes syncs fail, or succeed again.
func (m memFiles) setFailSync(err error) { m.Set(func(m *memfiles.Files) { m.FailSync = err }) }

func (m memFiles) Open(name string) (io.ReadCloser, error) {
	f, err := m.Files.Open(name)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(f.Content())), nil
}

func (m memFiles) Create(name string) (file, error) { return asFile(m.Files.Create(name)) }

func (m memFiles) Append(name string) (file, error) { return asFile(m.Files.Open(name)) }

func asFile(f *memfiles.File, err error) (file, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}
