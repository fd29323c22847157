package refscan_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/internal/refscan"
)

// folder makes a folder of files, by path.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func scan(t *testing.T, root string, o refscan.Options) *refscan.Result {
	t.Helper()
	r, err := refscan.Scan(t.Context(), root, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// places writes references as one writes them: path:line:column key, and what stands for it.
func places(list []refscan.Reference) []string {
	texts := []string{}
	for _, r := range list {
		text := fmt.Sprintf("%s:%d:%d %s", r.Path, r.Line, r.Column, r.Key)
		if r.Alias != "" {
			text += " as " + r.Alias
		}
		if r.Call != "" {
			text += " in " + r.Call
		}
		texts = append(texts, text)
	}
	return texts
}

func expect(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant:\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	keys := []string{"new-checkout", "engine", "a.b_c-9"}
	for _, c := range []struct {
		text string
		want []string // line:column key
	}{
		{`x("new-checkout")`, []string{"1:4 new-checkout"}},
		{`x('new-checkout', "engine")`, []string{"1:4 new-checkout", "1:20 engine"}},
		{"`engine`", []string{"1:2 engine"}},
		{`"{\"engine\": 1}"`, []string{"1:5 engine"}},
		{`'engine'engine'`, []string{"1:2 engine"}},
		{"\n\r\n  \"a.b_c-9\"", []string{"3:4 a.b_c-9"}},
		{`"ü€𝄞", "engine"`, []string{"1:9 engine"}},
		{`"engine" "engine"`, []string{"1:2 engine", "1:11 engine"}},
		{`"engine'`, nil},
		{`"engines"`, nil},
		{`" engine"`, nil},
		{`"my engine"`, nil},
		{`engine`, nil},
		{`"engine`, nil},
		{`"engine\"`, nil},
		{`"Engine"`, nil},
		{``, nil},
		{`""`, nil},
		{`"`, nil},
		{`"` + strings.Repeat("engine", 100) + `"`, nil},
	} {
		r := scan(t, folder(t, map[string]string{"f": c.text}), refscan.Options{Keys: keys})
		got := places(r.References)
		for i := range got {
			got[i] = strings.TrimPrefix(got[i], "f:")
		}
		expect(t, c.text, got, append([]string{}, c.want...))
	}
}

func TestAliases(t *testing.T) {
	t.Parallel()
	root := folder(t, map[string]string{
		"a.go": "if Enabled(FlagNewCheckout) || FlagNewCheckoutV2 || MyFlagNewCheckout {\n",
		"b.ts": "flags.newCheckout; myflags.newCheckout; x.flags.newCheckout()\nflags.newCheckoutV2\n",
		"c.rb": "on @checkout, :checkout, @checkouts\n",
		"d.c":  "NEW_CHECKOUT ENGINE",
	})
	r := scan(t, root, refscan.Options{
		Keys:       []string{"new-checkout", "new-checkout-v2", "engine"},
		Aliases:    map[string][]string{"new-checkout": {"@checkout"}},
		AliasForms: []string{"Flag{pascal}", "flags.{camel}", "{upperSnake}"},
	})
	expect(t, "references", places(r.References), []string{
		"a.go:1:12 new-checkout as FlagNewCheckout",
		"a.go:1:32 new-checkout-v2 as FlagNewCheckoutV2",
		"b.ts:1:1 new-checkout as flags.newCheckout",
		"b.ts:1:43 new-checkout as flags.newCheckout",
		"b.ts:2:1 new-checkout-v2 as flags.newCheckoutV2",
		"c.rb:1:4 new-checkout as @checkout",
		"d.c:1:1 new-checkout as NEW_CHECKOUT",
		"d.c:1:14 engine as ENGINE",
	})
	expect(t, "unreferenced", r.Unreferenced, []string{})
}

// Two keys can make the same alias: either may be meant.
func TestAliasOfTwoKeys(t *testing.T) {
	t.Parallel()
	r := scan(t, folder(t, map[string]string{"f": "FLAG_A_B"}),
		refscan.Options{Keys: []string{"a-b", "a.b"}, AliasForms: []string{"FLAG_{upperSnake}"}})
	expect(t, "references", places(r.References), []string{"f:1:1 a-b as FLAG_A_B", "f:1:1 a.b as FLAG_A_B"})
}

func TestCalls(t *testing.T) {
	t.Parallel()
	text := strings.Join([]string{
		`client.BooleanValue(ctx, "known", false, ec)`,
		`client.BooleanValue(ctx, "go-openfeature", false, ec)`,
		`client.BooleanDetails(r.Context(), "go-tidegate", user, false)`,
		`client.String(ctx, "go-bare", user, "x")`,
		`await client.getBooleanValue('js', false)`,
		`client.get_boolean_value("python", False)`,
		`client.GetBooleanValueAsync("dotnet", false)`,
		"useFlag<boolean>('react', true)",
		"client.getStringDetails(\n    `over-lines`,\n    'x')",
		`client.fetch_boolean_value(flag_key: "ruby", default_value: false)`,
		`client.get_integer_value(flag_key="label", default_value=1)`,
		`isOn("custom", 1)`,
		// What evaluates nothing.
		`attribute.StringValue("no-default")`,
		`log.String("no-context", "x")`,
		`client.getBooleanValue(KEY, "a-default")`,
		`client.getStringValue("not a key", "x")`,
		`client.getStringValue("prefix-" + x, "y")`,
		`getBooleanValue; getBooleanValue( getBooleanValue("`,
	}, "\n")
	root := folder(t, map[string]string{"f": text})
	want := []string{
		"f:2:27 go-openfeature in BooleanValue",
		"f:3:37 go-tidegate in BooleanDetails",
		"f:4:21 go-bare in String",
		"f:5:31 js in getBooleanValue",
		"f:6:27 python in get_boolean_value",
		"f:7:30 dotnet in GetBooleanValueAsync",
		"f:8:19 react in useFlag",
		"f:10:6 over-lines in getStringDetails",
		"f:12:39 ruby in fetch_boolean_value",
		"f:13:36 label in get_integer_value",
		"f:14:7 custom in isOn",
	}
	r := scan(t, root, refscan.Options{Keys: []string{"known"}, Calls: []string{"is_on"}})
	expect(t, "missing", places(r.Missing), want)
	expect(t, "references", places(r.References), []string{"f:1:27 known"})

	r = scan(t, root, refscan.Options{Calls: []string{"is_on"}})
	expect(t, "all", places(r.References), append([]string{"f:1:27 known in BooleanValue"}, want...))
	expect(t, "missing where nothing is known", places(r.Missing), []string{})

	r = scan(t, root, refscan.Options{Keys: []string{}, Calls: []string{"is_on"}})
	if len(r.Missing) != len(want)+1 {
		t.Errorf("of no flags, %d of %d are missing", len(r.Missing), len(want)+1)
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	const text = `"engine"`
	root := folder(t, map[string]string{
		"a":                   text,
		".github/ci.yml":      text,
		".git/config":         text,
		"binary":              "\x00" + text,
		"large":               text + strings.Repeat(" ", 100),
		"node_modules/x.js":   text,
		"x/y/node_modules/z":  text,
		".gitignore":          "node_modules/\n*.log\n/only-here\n",
		"b.log":               text,
		"x/keep.log":          text,
		"x/other.log":         text,
		"x/.gitignore":        "!keep.log\n/z\n",
		"x/z":                 text,
		"x/y/z":               text,
		"only-here":           text,
		"x/only-here":         text,
		"excluded/a":          text,
		"x/excluded/a":        text,
		"excluded/.gitignore": "!*",
	})
	if err := os.Symlink(filepath.Join(root, "a"), filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	o := refscan.Options{Keys: []string{"engine", "other"}, Exclude: []string{"/excluded"}, MaxBytes: 100}
	r := scan(t, root, o)
	want := []string{
		".github/ci.yml:1:2 engine", "a:1:2 engine", "x/excluded/a:1:2 engine", "x/keep.log:1:2 engine",
		"x/only-here:1:2 engine", "x/y/z:1:2 engine",
	}
	expect(t, "references", places(r.References), want)
	expect(t, "unreferenced", r.Unreferenced, []string{"other"})
	if r.Binary != 1 || r.Large != 1 || r.Files != len(want)+2 || len(r.Unread) != 0 {
		t.Errorf("binary %d, large %d, read %d, unread %q", r.Binary, r.Large, r.Files, r.Unread)
	}

	// Patterns above the folder count, too, and one file can be read alone.
	expect(t, "below", places(scan(t, filepath.Join(root, "x", "y"), o).References), []string{"z:1:2 engine"})
	expect(t, "one file", places(scan(t, filepath.Join(root, "a"), o).References), []string{"a:1:2 engine"})
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	root := folder(t, map[string]string{"a": `"engine"`, "secret": `"engine"`, "closed/b": ""})
	for _, name := range []string{"secret", "closed"} {
		path := filepath.Join(root, name)
		if err := os.Chmod(path, 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(path, 0o700) })
	}
	r := scan(t, root, refscan.Options{Keys: []string{"engine"}})
	if len(r.References) != 1 || len(r.Unread) != 2 {
		t.Errorf("got %+v", r)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		o    refscan.Options
		says string
	}{
		{refscan.Options{Keys: []string{"a b"}}, `"a b" is no key of a flag`},
		{refscan.Options{Keys: []string{""}}, `"" is no key of a flag`},
		{refscan.Options{Keys: []string{"a"}, Aliases: map[string][]string{"b": {"B"}}}, `aliases of "b": there is no such flag`},
		{refscan.Options{Keys: []string{"a"}, Aliases: map[string][]string{"a": {"@"}}}, `alias "@" of "a": expected a letter`},
		{refscan.Options{Keys: []string{"a"}, Aliases: map[string][]string{"a": {""}}}, `alias "" of "a": expected a letter`},
		{refscan.Options{Keys: []string{"a"}, Aliases: map[string][]string{"a": {"\nA"}}}, "control characters"},
		{refscan.Options{Keys: []string{"a"}, AliasForms: []string{"Flag"}}, `alias form "Flag": expected one of {key}`},
		{refscan.Options{Keys: []string{"a"}, AliasForms: []string{"{x}"}}, `"x" is not known`},
		{refscan.Options{Keys: []string{"a"}, AliasForms: []string{"{key}{key}"}}, "one pair of braces"},
	} {
		if _, err := refscan.Scan(t.Context(), t.TempDir(), c.o); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: got %v, want an error that says %q", c.o, err, c.says)
		}
	}
	if _, err := refscan.Scan(t.Context(), filepath.Join(t.TempDir(), "nowhere"), refscan.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := refscan.Scan(ctx, folder(t, map[string]string{"a": ""}), refscan.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestExpand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ form, key, want string }{
		{"{key}", "new-checkout.V2", "new-checkout.V2"},
		{"{camel}", "new-checkout.V2", "newCheckoutV2"},
		{"Flag{pascal}", "new-checkout", "FlagNewCheckout"},
		{"{pascal}", "newCheckout", "NewCheckout"},
		{"{snake}()", "newCheckout", "new_checkout()"},
		{"FLAG_{upperSnake}", "new.checkout-2x", "FLAG_NEW_CHECKOUT_2X"},
		{"{kebab}", "New__Checkout-", "new-checkout"},
	} {
		if got, err := refscan.Expand(c.form, c.key); err != nil || got != c.want {
			t.Errorf("%s of %s: got %q, %v, want %q", c.form, c.key, got, err, c.want)
		}
	}
}

// Every key that is written in quotes is found where it was written, whatever is around it.
func TestFindsWhatWasWritten(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	keys := []string{"a", "new-checkout", "x.y", "9lives", "a_b"}
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{" ", "\n", "(", ", ", "x", "ü", "=", ";", "{", "word", "\t"}),
		rapid.StringMatching(`[a-z ü\n(){},;=<>+]{0,12}`),
	)
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		want := []string{}
		for range rapid.IntRange(0, 8).Draw(t, "pieces") {
			text.WriteString(piece.Draw(t, "piece"))
			if rapid.Bool().Draw(t, "write a key") {
				key := rapid.SampledFrom(keys).Draw(t, "key")
				quote := rapid.SampledFrom([]string{`"`, `'`, "`"}).Draw(t, "quote")
				before := text.String()
				column := len([]rune(before[strings.LastIndexByte(before, '\n')+1:])) + 2
				want = append(want, fmt.Sprintf("f:%d:%d %s", strings.Count(before, "\n")+1, column, key))
				text.WriteString(quote + key + quote)
			}
		}
		if err := os.WriteFile(filepath.Join(root, "f"), []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := refscan.Scan(context.Background(), root, refscan.Options{Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		if got := places(r.References); !slices.Equal(got, want) {
			t.Fatalf("%q:\ngot %q\nwant %q", text.String(), got, want)
		}
	})
}

func FuzzScan(f *testing.F) {
	f.Add([]byte("flags.a \"a\" getBooleanValue(ctx, 'b', x)"))
	f.Add([]byte("String(flags.ctx,\n\"b\", \\\"a\\\""))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := refscan.Scan(t.Context(), path, refscan.Options{Keys: []string{"a"}, AliasForms: []string{"flags.{key}", "@{key}"}})
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(data), "\n")
		for _, ref := range append(r.References, r.Missing...) {
			text := ref.Key
			if ref.Alias != "" {
				text = ref.Alias
			}
			if line := []rune(lines[ref.Line-1]); !strings.HasPrefix(string(line[ref.Column-1:]), text) {
				t.Fatalf("%+v: the line is %q", ref, lines[ref.Line-1])
			}
		}
	})
}
