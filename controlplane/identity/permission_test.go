package identity

import (
	"testing"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
)

const (
	viewer        = accessv1.Role_ROLE_VIEWER
	editor        = accessv1.Role_ROLE_EDITOR
	operator      = accessv1.Role_ROLE_OPERATOR
	administrator = accessv1.Role_ROLE_ADMINISTRATOR
)

func TestRolesPermit(t *testing.T) {
	want := map[accessv1.Role][]bool{ // read, write, operate, administer
		accessv1.Role_ROLE_UNSPECIFIED: {false, false, false, false},
		viewer:                         {true, false, false, false},
		editor:                         {true, true, false, false},
		operator:                       {true, true, true, false},
		administrator:                  {true, true, true, true},
		accessv1.Role_ROLE_RELAY:       {false, false, false, false},
		accessv1.Role_ROLE_SDK_SERVER:  {false, false, false, false},
		accessv1.Role_ROLE_SDK_CLIENT:  {false, false, false, false},
		99:                             {false, false, false, false},
	}
	for role, may := range want {
		for i, p := range []Permission{Read, Write, Operate, Administer} {
			who := &accessv1.Identity{Grants: []*accessv1.Grant{{Role: role}}}
			if got := Allows(who, p, Scope{Environment: "e", Key: "k"}); got != may[i] {
				t.Errorf("%v may %v: %t", role, p, got)
			}
			if may[i] && role < p.Role() {
				t.Errorf("%v may %v, which is said to take %v", role, p, p.Role())
			}
		}
	}
}

func TestAllows(t *testing.T) {
	grant := func(r accessv1.Role, environments, prefixes []string) *accessv1.Grant {
		return &accessv1.Grant{Role: r, Environments: environments, KeyPrefixes: prefixes}
	}
	dev, checkout := []string{"dev"}, []string{"checkout-"}
	for name, c := range map[string]struct {
		grants []*accessv1.Grant
		p      Permission
		s      Scope
		want   bool
	}{
		"nobody":                             {nil, Read, Scope{Environment: "dev"}, false},
		"everywhere, one environment":        {[]*accessv1.Grant{grant(editor, nil, nil)}, Write, Scope{Environment: "dev", Key: "a"}, true},
		"everywhere, all":                    {[]*accessv1.Grant{grant(editor, nil, nil)}, Write, Scope{}, true},
		"one environment, itself":            {[]*accessv1.Grant{grant(editor, dev, nil)}, Write, Scope{Environment: "dev", Key: "a"}, true},
		"one environment, another":           {[]*accessv1.Grant{grant(editor, dev, nil)}, Write, Scope{Environment: "production", Key: "a"}, false},
		"one environment, all":               {[]*accessv1.Grant{grant(editor, dev, nil)}, Write, Scope{}, false},
		"one environment, any":               {[]*accessv1.Grant{grant(viewer, dev, nil)}, Read, Scope{Environment: Anywhere}, true},
		"a prefix, such a key":               {[]*accessv1.Grant{grant(editor, dev, checkout)}, Write, Scope{Environment: "dev", Key: "checkout-a"}, true},
		"a prefix, the prefix itself":        {[]*accessv1.Grant{grant(editor, dev, checkout)}, Write, Scope{Environment: "dev", Key: "checkout-"}, true},
		"a prefix, less of it":               {[]*accessv1.Grant{grant(editor, dev, checkout)}, Write, Scope{Environment: "dev", Key: "checkout"}, false},
		"a prefix, another key":              {[]*accessv1.Grant{grant(editor, dev, checkout)}, Write, Scope{Environment: "dev", Key: "search"}, false},
		"a prefix, all keys":                 {[]*accessv1.Grant{grant(viewer, dev, checkout)}, Read, Scope{Environment: "dev"}, false},
		"a prefix, keys that begin with it":  {[]*accessv1.Grant{grant(viewer, dev, checkout)}, Read, Scope{Environment: "dev", Key: "checkout-", Prefix: true}, true},
		"a prefix, keys that begin with c":   {[]*accessv1.Grant{grant(viewer, dev, checkout)}, Read, Scope{Environment: "dev", Key: "c", Prefix: true}, false},
		"role and place in different grants": {[]*accessv1.Grant{grant(editor, dev, nil), grant(viewer, nil, nil)}, Write, Scope{Environment: "production", Key: "a"}, false},
		"the second grant":                   {[]*accessv1.Grant{grant(viewer, nil, nil), grant(editor, dev, nil)}, Write, Scope{Environment: "dev", Key: "a"}, true},
	} {
		if got := Allows(&accessv1.Identity{Grants: c.grants}, c.p, c.s); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
