// Package refscan finds where flags are used in source text of any language: keys as whole
// quoted strings, and the names that stand for them.
//
// It reads text and knows no language: what it finds in a comment counts, and a key that is
// put together at run time is not found. A key in quotes is one whatever the quotes: "key",
// 'key' and `key`, and \"key\" within a string.
//
// It also finds calls that look like the evaluation of a flag, such as
// getBooleanValue("key", false), which is how references to flags that do not exist show.
package refscan

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/tidegate/tidegate/internal/gitignore"
)

// DefaultMaxBytes is the size above which files are left out: source is smaller.
const DefaultMaxBytes = 2 << 20

// Options say what to look for, and where.
type Options struct {
	// Keys of the flags that exist. Nil: they are not known, and calls are all that is found.
	Keys []string
	// Aliases are other names of flags, by key, such as "FlagNewCheckout" or
	// "flags.newCheckout". They are found where they are whole words.
	Aliases map[string][]string
	// AliasForms make aliases of every key: "Flag{pascal}" is FlagNewCheckout of
	// new-checkout. Expand has the list of forms.
	AliasForms []string
	// Calls are names of functions that evaluate flags, besides those of OpenFeature's SDKs
	// and of tidegate's own.
	Calls []string
	// Exclude are patterns of paths that are left out, as in a .gitignore of the folder.
	Exclude []string
	// MaxBytes is the size above which a file is left out; 0: DefaultMaxBytes.
	MaxBytes int64
}

// Reference is one place where a flag is used.
type Reference struct {
	Key string `json:"key"`
	// Path is relative to the folder, with '/' between its elements.
	Path string `json:"path"`
	// Line and Column from 1, columns in characters.
	Line   int `json:"line"`
	Column int `json:"column"`
	// Alias is the name that stands for the key; empty: the key itself.
	Alias string `json:"alias,omitempty"`
	// Call is the function that the key is passed to, where that is all that tells that it is
	// a flag's key.
	Call string `json:"call,omitempty"`
}

// Result is what a scan found.
type Result struct {
	// References in the order of path, line and column: to the flags that exist or, if they
	// are not known, those of calls.
	References []Reference `json:"references"`
	// Missing are calls with keys of flags that do not exist, in the same order.
	Missing []Reference `json:"missing"`
	// Unreferenced are the keys that were found nowhere, sorted.
	Unreferenced []string `json:"unreferenced"`
	// Files and Bytes that were read.
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
	// Binary and Large count the files that were left out because of what they are. What
	// .gitignore or a pattern excludes is not counted.
	Binary int `json:"binary"`
	Large  int `json:"large"`
	// Unread tells what could not be read: there may be references in it.
	Unread []string `json:"unread,omitempty"`
}

// Scan walks a folder, or reads one file. What can't be read below the folder does not end
// the scan; the result tells.
func Scan(ctx context.Context, root string, o Options) (*Result, error) {
	m, err := newMatcher(o)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(root)
	if err != nil {
		return nil, err
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	files := make(chan string)
	walked := &walk{root: root, exclude: gitignore.Parse(strings.Join(o.Exclude, "\n")), files: files, done: ctx.Done()}
	find := walked.run
	if !info.IsDir() {
		var name string
		root, name = filepath.Split(root)
		find = func() { walked.send(name) }
	}
	go func() {
		defer close(files)
		find()
	}()

	readers := make([]*reader, runtime.GOMAXPROCS(0))
	var wait sync.WaitGroup
	for i := range readers {
		r := &reader{root: root, matcher: m, maxBytes: o.MaxBytes, found: map[string]bool{}}
		readers[i] = r
		wait.Go(func() {
			for name := range files {
				r.read(name)
			}
		})
	}
	wait.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return merge(readers, walked.unread, o.Keys), nil
}

// merge puts together what the readers found.
func merge(readers []*reader, unread, keys []string) *Result {
	all := &Result{References: []Reference{}, Missing: []Reference{}, Unreferenced: []string{}, Unread: unread}
	for _, r := range readers {
		all.References = append(all.References, r.result.References...)
		all.Missing = append(all.Missing, r.result.Missing...)
		all.Unread = append(all.Unread, r.result.Unread...)
		all.Files += r.result.Files
		all.Bytes += r.result.Bytes
		all.Binary += r.result.Binary
		all.Large += r.result.Large
	}
	slices.SortFunc(all.References, compare)
	slices.SortFunc(all.Missing, compare)
	slices.Sort(all.Unread)
	for _, key := range keys {
		if !slices.ContainsFunc(readers, func(r *reader) bool { return r.found[key] }) {
			all.Unreferenced = append(all.Unreferenced, key)
		}
	}
	slices.Sort(all.Unreferenced)
	all.Unreferenced = slices.Compact(all.Unreferenced)
	return all
}

func compare(a, b Reference) int {
	for _, c := range []int{strings.Compare(a.Path, b.Path), a.Line - b.Line, a.Column - b.Column, strings.Compare(a.Key, b.Key)} {
		if c != 0 {
			return c
		}
	}
	return 0
}

// checkKey reports what is no key of a flag.
func checkKey(key string) error {
	if n := keyLength(key); n == 0 || n != len(key) {
		return fmt.Errorf("%q is no key of a flag: expected letters, digits, '.', '_' and '-', the first a letter or a digit", key)
	}
	return nil
}
