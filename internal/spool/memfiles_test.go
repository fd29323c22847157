package spool

import "github.com/tidegate/tidegate/internal/memfiles"

// memFiles is a directory in memory, as the spool sees one.
type memFiles struct{ *memfiles.Files }

type inode = memfiles.Inode

func newMemFiles() memFiles { return memFiles{memfiles.New()} }

func (m memFiles) afterKill() memFiles { return memFiles{m.AfterKill()} }

func (m memFiles) afterPowerCut(named bool, part float64) memFiles {
	return memFiles{m.AfterPowerCut(named, part)}
}

func (m memFiles) set(change func(m memFiles)) {
	m.Set(func(*memfiles.Files) { change(m) })
}

func (m memFiles) Open(name string) (file, error) { return asFile(m.Files.Open(name)) }

func (m memFiles) Create(name string) (file, error) { return asFile(m.Files.Create(name)) }

func asFile(f *memfiles.File, err error) (file, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}
