package claims

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/neosc/gate/session"
)

// Bounds on single claims, in bytes. maxSubject is OpenID Connect Core's.
const (
	maxSubject = 255
	maxText    = 256
	maxAMR     = 16
)

// MapOptions say how one provider's claims are read.
type MapOptions struct {
	// Provider is the provider's id in the configuration, Issuer its issuer.
	// The subject is looked for in the claims, the issuer never.
	Provider, Issuer string
	// ProjectID is the Zitadel project whose roles count; "" takes those of the
	// client's own project.
	ProjectID string
	// RoleClaims are the claims that hold roles, by default Zitadel's and
	// "roles"; GroupClaims those that hold groups, by default "groups".
	RoleClaims, GroupClaims []string
	// DefaultRole is given to whoever has no known role; "" gives none.
	DefaultRole string
	// KnownRoles are the roles that spare a person the DefaultRole; by default
	// admin, demo-user, neosc and user.
	KnownRoles []string
	// Organizations, if any, are the only ones whose people are let in.
	Organizations []string
	// Domains are those for which the provider is trusted to name the right
	// address even when it does not say that it is verified. Compared exactly,
	// without regard to ASCII case: a subdomain is another domain.
	Domains []string
}

// Map returns who the claims say somebody is. Numbers may be json.Number or
// float64. The claims themselves become Identity.Claims and are not copied;
// AuthenticatedAt is zero where there is no auth_time.
//
// It refuses claims without a subject, names of roles or groups that
// session.CheckNames refuses, and more of them than that allows. A claim of
// another type than it should have is as good as absent.
func Map(c map[string]any, o MapOptions) (session.Identity, error) {
	sub, _ := c["sub"].(string)
	if err := checkSubject(sub); err != nil {
		return session.Identity{}, err
	}
	roles, err := session.CheckNames("role", rolesOf(c, o))
	if err != nil {
		return session.Identity{}, err
	}
	if roles, err = withDefault(roles, o); err != nil {
		return session.Identity{}, err
	}
	groups, err := session.CheckNames("group", groupsOf(c, o))
	if err != nil {
		return session.Identity{}, err
	}
	organization := firstText(c, "org", "urn:zitadel:iam:org:id", "urn:zitadel:iam:user:resourceowner:id")
	if len(o.Organizations) > 0 && !slices.Contains(o.Organizations, organization) {
		return session.Identity{}, errors.New("the organization is none of those that are let in")
	}
	email, verified := emailOf(c, o.Domains)
	return session.Identity{
		Provider: o.Provider, Issuer: o.Issuer, Subject: sub, UserID: UserID(o.Issuer, sub),
		Email: email, EmailVerified: verified,
		Name:         firstText(c, "name", "given_name", "preferred_username"),
		Organization: organization,
		Roles:        roles, Groups: groups, Claims: c, AMR: amrOf(c), AuthenticatedAt: authTime(c),
	}, nil
}

// checkSubject refuses what cannot name one person: U+FFFD stands for any byte
// that was no UTF-8, so two subjects could meet in it.
func checkSubject(sub string) error {
	switch {
	case sub == "":
		return errors.New("claim sub is missing, empty or no text")
	case len(sub) > maxSubject:
		return fmt.Errorf("claim sub has %d bytes, at most %d are allowed", len(sub), maxSubject)
	case isPlain(sub):
		return nil
	case !utf8.ValidString(sub) || strings.ContainsRune(sub, utf8.RuneError) || strings.ContainsFunc(sub, unicode.IsControl):
		return errors.New("claim sub has control characters or is not UTF-8")
	}
	return nil
}

// UserID returns the stable id of the person that an issuer knows by a subject:
// "idp-" and 32 hex digits of a SHA-256 over both. The same email or subject at
// another issuer is another person. It is the id that sign-in gives them too.
func UserID(issuer, subject string) string {
	return "idp-" + digest("user of a provider", issuer, subject)
}

// OrganizationID does for an organization what UserID does for a person.
func OrganizationID(issuer, id string) string {
	return "org-" + digest("organization of a provider", issuer, id)
}

// digest hashes texts so that their borders count: ("ab","c") is not ("a","bc").
func digest(purpose string, parts ...string) string {
	var room [512]byte // on the stack: tokens seen for the first time wait for this
	b := append(append(append(room[:0], "neosc "...), purpose...), 0)
	for _, p := range parts {
		b = append(append(strconv.AppendInt(b, int64(len(p)), 10), ':'), p...)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// isPlain reports whether a text is of visible ASCII alone, as most are: what it
// says of those costs a tenth of what has to be asked of others.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

// firstText returns the first of the named claims that is a text which may
// stand in a header or a page.
func firstText(c map[string]any, names ...string) string {
	for _, n := range names {
		if s, ok := c[n].(string); ok && printable(s, maxText) {
			return s
		}
	}
	return ""
}

func printable(s string, limit int) bool {
	return len(s) <= limit && (isPlain(s) || isPrintable(s))
}

func isPrintable(s string) bool {
	return s != "" && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) && strings.TrimSpace(s) != ""
}

func amrOf(c map[string]any) []string {
	list, _ := c["amr"].([]any)
	var out []string
	for _, v := range list {
		if s, ok := v.(string); ok && printable(s, 64) && len(out) < maxAMR {
			out = append(out, s)
		}
	}
	return out
}

func authTime(c map[string]any) time.Time {
	t, ok := NumericDate(c["auth_time"])
	if !ok {
		return time.Time{}
	}
	return t
}

// maxNumericDate is the end of the year 9999: later instants do not survive
// being written as RFC 3339.
const maxNumericDate = 253402300799

// NumericDate reads seconds since 1970 as JSON has them (RFC 7519, 2), to the
// millisecond. ok is false for other types and what lies before 1970 or after
// the year 9999.
func NumericDate(v any) (t time.Time, ok bool) {
	var f float64
	switch n := v.(type) {
	case json.Number:
		if i, err := n.Int64(); err == nil {
			if i < 0 || i > maxNumericDate {
				return time.Time{}, false
			}
			return time.Unix(i, 0).UTC(), true
		}
		var err error
		if f, err = n.Float64(); err != nil {
			return time.Time{}, false
		}
	case float64:
		f = n
	default:
		return time.Time{}, false
	}
	if !(f >= 0 && f <= maxNumericDate) { // NaN as well
		return time.Time{}, false
	}
	return time.UnixMilli(int64(math.Floor(f * 1000))).UTC(), true
}
