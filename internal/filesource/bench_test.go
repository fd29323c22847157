package filesource

import (
	"fmt"
	"path/filepath"
	"testing"
)

// BenchmarkLook is what files cost that do not change, several times a second.
func BenchmarkLook(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("files=%d", n), func(b *testing.B) {
			dir := b.TempDir()
			for i := range n {
				write(b, filepath.Join(dir, fmt.Sprintf("%04d.yaml", i)), "apiVersion: tidegate/v1\n")
			}
			was := lookAt([]string{dir})
			for b.Loop() {
				if !lookAt([]string{dir}).same(was) {
					b.Fatal("the files changed")
				}
			}
		})
	}
}
