//go:build unix

package counterfile

import (
	"os"
	"syscall"
)

// mapped maps a file into memory.
func mapped(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0) //nolint:gosec // the operator's own directory
	if err != nil {
		return nil, err
	}
	defer file.Close() // the mapping stays
	return syscall.Mmap(int(file.Fd()), 0, pageBytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
}

func unmap(data []byte) { _ = syscall.Munmap(data) }
