package filesource

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkLook is what files cost that do not change, several times a second.
func BenchmarkLook(b *testing.B) {
	for _, n := range []int{1, 200, 1000} {
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

// BenchmarkShown is how long it takes from a save of one of 200 files until it is told.
func BenchmarkShown(b *testing.B) {
	dir := b.TempDir()
	save := func(i int, content string) { write(b, filepath.Join(dir, fmt.Sprintf("%04d.yaml", i)), content) }
	for i := range 200 {
		save(i, "# as it was\n")
	}
	ctx, cancel := context.WithCancel(b.Context())
	told, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- Follow(ctx, []string{dir}, func([]File, error) { told <- struct{}{} })
	}()
	<-told
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		time.Sleep(time.Duration(i%10) * 37 * time.Millisecond) // at any time between two looks
		b.StartTimer()
		save(i%200, fmt.Sprintf("# save %d\n", i))
		<-told
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		b.Error(err)
	}
}
