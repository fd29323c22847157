package controlplane

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidegate/tidegate/controlplane/store/memstore"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
)

// TestListKeys: whatever the pages, a list names each key once, with all that it opened when
// the list began.
func TestListKeys(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := memstore.New()
		defer func() { _ = s.Close() }()
		f := openOn(t, s)
		want := make(map[string][]string)
		for range rapid.IntRange(0, 12).Draw(rt, "keys") {
			scopes := rapid.SampledFrom([][]string{{production}, {staging}, {production, staging}}).Draw(rt, "scopes")
			want[f.createKey("k", scopes...).GetKey().GetKey().GetId()] = scopes
		}
		environment := rapid.SampledFrom([]string{"", production, staging}).Draw(rt, "environment")
		got, token := []string{}, ""
		for {
			page, err := f.ListKeys(f.ctx, &controlv1.ListKeysRequest{
				Environment: environment, PageSize: int32(rapid.IntRange(1, 5).Draw(rt, "size")), PageToken: token,
			})
			if err != nil {
				rt.Fatal(err)
			}
			for _, v := range page.GetKeys() {
				got = append(got, v.GetKey().GetId())
				if !slices.Equal(v.GetEnvironments(), want[v.GetKey().GetId()]) || len(v.GetKey().GetSecretHash()) != 0 {
					rt.Errorf("listed %v, want %v", v, want[v.GetKey().GetId()])
				}
			}
			if token == "" {
				f.createKey("later", production, staging) // not part of this list
			}
			if token = page.GetNextPageToken(); token == "" {
				break
			}
		}
		var expected []string
		for id, scopes := range want {
			if environment == "" || slices.Contains(scopes, environment) {
				expected = append(expected, id)
			}
		}
		if slices.Sort(expected); !slices.Equal(got, expected) {
			rt.Errorf("listed %v, want %v", got, expected)
		}
	})
}
