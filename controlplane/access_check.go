package controlplane

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
)

// keyContent is what requests say of a key.
type keyContent interface {
	GetName() string
	GetEnvironments() []string
	GetOwner() string
}

// accessKey checks what a key shall be.
func (c *checker) accessKey(r keyContent) {
	switch n := utf8.RuneCountInString(r.GetName()); {
	case strings.TrimSpace(r.GetName()) == "":
		c.add("name", "is required: say what uses the key")
	case n > maxKeyName:
		c.add("name", "must be at most %d characters, not %d", maxKeyName, n)
	case strings.ContainsFunc(r.GetName(), unicode.IsControl):
		c.add("name", "must be without line breaks and other control characters")
	}
	c.words("owner", r.GetOwner())
	environments := r.GetEnvironments()
	switch n := len(environments); {
	case n == 0:
		c.add("environments", "is empty: name what the key opens")
	case n > maxKeyEnvironments:
		c.add("environments", "must be at most %d, not %d", maxKeyEnvironments, n)
	}
	for i, name := range environments[:min(len(environments), maxKeyEnvironments)] {
		field := fmt.Sprintf("environments[%d]", i)
		if c.environment(field, name); slices.Contains(environments[:i], name) {
			c.add(field, "%q is named twice", truncate(name, maxEcho))
		}
	}
}

// keyRole checks what a key may do.
func (c *checker) keyRole(r accessv1.Role) {
	if r < accessv1.Role_ROLE_RELAY || r > accessv1.Role_ROLE_SDK_CLIENT {
		c.add("role", "must be RELAY, SDK_SERVER or SDK_CLIENT; what people and programs may do is said by identities ('tidegate identity create --role')")
	}
}

// flagPrefixes checks which flags a key of that role is for.
func (c *checker) flagPrefixes(role accessv1.Role, prefixes []string) {
	const field = "flag_prefixes"
	if c.names(field, prefixes, keyPattern, keyRule); role == accessv1.Role_ROLE_RELAY && len(prefixes) > 0 {
		c.add(field, "must be empty: a relay has whole environments; keys of the roles SDK_SERVER and SDK_CLIENT may have some")
	}
}

// expiry checks when a key shall end; nil: never.
func (c *checker) expiry(at *timestamppb.Timestamp, now time.Time) {
	switch {
	case at == nil:
	case at.CheckValid() != nil:
		c.add("expires_at", "is not a time")
	case !at.AsTime().After(now):
		c.add("expires_at", "%s has passed: name a time in the future, or none for a key that does not expire", at.AsTime().Format(time.RFC3339))
	}
}

func (c *checker) keyID(id string) {
	switch {
	case id == "":
		c.add(keyKind.field, "is required")
	case !accesskey.ValidID(id): // not quoted: it may be a secret
		c.add(keyKind.field, "must be %d lower-case letters and digits, as 'tidegate key list' shows them; it is the second part of a secret, not the whole", accesskey.IDLength)
	}
}
