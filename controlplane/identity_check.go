package controlplane

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tidegate/tidegate/eval"
	accessv1 "github.com/tidegate/tidegate/gen/go/tidegate/access/v1"
	controlv1 "github.com/tidegate/tidegate/gen/go/tidegate/control/v1"
	"github.com/tidegate/tidegate/internal/accesskey"
)

const (
	maxGrants           = 30
	maxGrantNames       = 30
	maxCertificateNames = 8
	maxCertificateName  = 256 // bytes
	minPassword         = 12  // characters
	maxPassword         = 256
	maxOverlap          = 30 * 24 * time.Hour
)

var (
	personPattern  = regexp.MustCompile(`^[^\s@"(),:;<>\[\]\\/]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$`)
	servicePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
)

// newIdentity checks a request for an identity.
func (c *checker) newIdentity(r *controlv1.CreateIdentityRequest, now time.Time) {
	i := r.GetIdentity()
	c.identity(i)
	c.expiry(i.GetExpiresAt(), now)
	for field, set := range map[string]bool{
		"id": i.GetId() != "", "version": i.GetVersion() != 0, "created_at": i.GetCreatedAt() != nil, "secrets": len(i.GetSecrets()) > 0,
		"password_hash": i.GetPasswordHash() != "", "openid": i.GetOpenid() != nil, "sessions": i.GetSessions() != 0,
	} {
		if set {
			c.add("identity."+field, "must be empty: the control plane sets it")
		}
	}
	switch {
	case r.GetPassword() == "":
	case i.GetKind() != accessv1.IdentityKind_IDENTITY_KIND_PERSON:
		c.add("password", "must be empty: a service presents a secret, which the answer has")
	default:
		c.password(r.GetPassword())
	}
	slices.SortStableFunc(c.fields, func(a, b eval.FieldError) int { return strings.Compare(a.Field, b.Field) })
}

// identity checks what people write of an identity.
func (c *checker) identity(i *accessv1.Identity) {
	switch i.GetKind() {
	case accessv1.IdentityKind_IDENTITY_KIND_PERSON:
		if !personPattern.MatchString(i.GetName()) {
			c.add("identity.name", "of a person must be an e-mail address; got %q", truncate(i.GetName(), maxEcho))
		} else if strings.ToLower(i.GetName()) != i.GetName() {
			c.add("identity.name", "must be in lower case, so that there is one form of it: %q", strings.ToLower(i.GetName()))
		}
		if len(i.GetCertificateNames()) > 0 {
			c.add("identity.certificate_names", "must be empty: services present certificates, people log in")
		}
	case accessv1.IdentityKind_IDENTITY_KIND_SERVICE:
		if !servicePattern.MatchString(i.GetName()) {
			c.add("identity.name", "of a service %s; got %q", keyRule, truncate(i.GetName(), maxEcho))
		}
	default:
		c.add("identity.kind", "is required: PERSON or SERVICE")
	}
	c.words("identity.display_name", i.GetDisplayName())
	c.words("identity.owner", i.GetOwner())
	c.certificateNames(i.GetCertificateNames())
	switch n := len(i.GetGrants()); {
	case n == 0:
		c.add("identity.grants", "is empty: name a role, such as VIEWER")
	case n > maxGrants:
		c.add("identity.grants", "must be at most %d, not %d", maxGrants, n)
	default:
		for at, g := range i.GetGrants() {
			c.grant(fmt.Sprintf("identity.grants[%d]", at), g)
		}
	}
}

func (c *checker) grant(field string, g *accessv1.Grant) {
	if r := g.GetRole(); r < accessv1.Role_ROLE_VIEWER || r > accessv1.Role_ROLE_ADMINISTRATOR {
		c.add(field+".role", "must be VIEWER, EDITOR, OPERATOR or ADMINISTRATOR; what relays and SDKs may do is said by keys ('tidegate key create --role')")
	}
	c.names(field+".environments", g.GetEnvironments(), environmentPattern, environmentRule)
	c.names(field+".key_prefixes", g.GetKeyPrefixes(), keyPattern, keyRule)
	if g.GetRole() == accessv1.Role_ROLE_ADMINISTRATOR && len(g.GetKeyPrefixes()) > 0 {
		c.add(field+".key_prefixes", "must be empty: an administrator is one of whole environments")
	}
}

// names checks a list of names, each of which is there once.
func (c *checker) names(field string, names []string, pattern *regexp.Regexp, rule string) {
	if len(names) > maxGrantNames {
		c.add(field, "must be at most %d, not %d", maxGrantNames, len(names))
		return
	}
	for i, name := range names {
		at := fmt.Sprintf("%s[%d]", field, i)
		switch {
		case !pattern.MatchString(name):
			c.add(at, "%s; got %q", rule, truncate(name, maxEcho))
		case slices.Contains(names[:i], name):
			c.add(at, "%q is named twice", name)
		}
	}
}

func (c *checker) certificateNames(names []string) {
	const field = "identity.certificate_names"
	if len(names) > maxCertificateNames {
		c.add(field, "must be at most %d, not %d", maxCertificateNames, len(names))
		return
	}
	for i, name := range names {
		at := fmt.Sprintf("%s[%d]", field, i)
		switch {
		case name == "" || len(name) > maxCertificateName || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }):
			c.add(at, "must be a DNS name or a URI, as it is in the certificate, of at most %d bytes; got %q", maxCertificateName, truncate(name, maxEcho))
		case strings.Contains(name, "*"):
			c.add(at, "must be one name: a '*' is of many")
		case slices.Contains(names[:i], name):
			c.add(at, "%q is named twice", name)
		}
	}
}

// words checks a text for people.
func (c *checker) words(field, text string) {
	switch {
	case utf8.RuneCountInString(text) > maxKeyName:
		c.add(field, "must be at most %d characters, not %d", maxKeyName, utf8.RuneCountInString(text))
	case strings.ContainsFunc(text, unicode.IsControl):
		c.add(field, "must be without line breaks and other control characters")
	}
}

// password checks one that is to be set. It is quoted nowhere.
func (c *checker) password(password string) {
	switch n := utf8.RuneCountInString(password); {
	case n < minPassword:
		c.add("password", "must be at least %d characters", minPassword)
	case n > maxPassword:
		c.add("password", "must be at most %d characters", maxPassword)
	case !utf8.ValidString(password):
		c.add("password", "is not UTF-8")
	}
}

func (c *checker) overlap(d *durationpb.Duration) {
	if d != nil && (d.CheckValid() != nil || d.AsDuration() < 0 || d.AsDuration() > maxOverlap) {
		c.add("overlap", "must be 0 s to %d days", maxOverlap/(24*time.Hour))
	}
}

func (c *checker) identityID(field, id string) {
	switch {
	case id == "":
		c.add(field, "is required")
	case !accesskey.ValidID(id): // not quoted: it may be a secret
		c.add(field, "must be %d lower-case letters and digits, as 'tidegate identity list' shows them", accesskey.IDLength)
	}
}
