package claims

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
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
	// RoleClaims are further claims that hold roles, besides Zitadel's and
	// "roles"; GroupClaims those that hold groups, by default "groups".
	RoleClaims, GroupClaims []string
	// DefaultRole is given to whoever has no known role; "" gives none.
	DefaultRole string
	// KnownRoles are the roles that spare a person the DefaultRole; empty means
	// that any role does.
	KnownRoles []string
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
	email, verified := emailOf(c, o.Domains)
	return session.Identity{
		Provider: o.Provider, Issuer: o.Issuer, Subject: sub, UserID: UserID(o.Issuer, sub),
		Email: email, EmailVerified: verified,
		Name:         firstText(c, "name", "given_name", "preferred_username"),
		Organization: firstText(c, "org", "urn:zitadel:iam:org:id", "urn:zitadel:iam:user:resourceowner:id"),
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
	case !utf8.ValidString(sub) || strings.ContainsRune(sub, utf8.RuneError) || strings.ContainsFunc(sub, unicode.IsControl):
		return errors.New("claim sub has control characters or is not UTF-8")
	}
	return nil
}

var userIDText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// UserID returns the stable id of the person that an issuer knows by a subject:
// "oidc:" and 32 letters or digits of a SHA-256 over both. The same email or
// subject at another issuer is another person.
func UserID(issuer, subject string) string { return "oidc:" + digest("user", issuer, subject) }

// OrganizationID does for an organization what UserID does for a person.
func OrganizationID(issuer, id string) string { return "org:" + digest("organization", issuer, id) }

// digest hashes texts so that their borders count: ("ab","c") is not ("a","bc").
func digest(purpose, issuer, id string) string {
	h := sha256.New()
	for _, s := range []string{purpose, issuer, id} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	return userIDText.EncodeToString(h.Sum(nil)[:20])
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
	return s != "" && len(s) <= limit && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl) && strings.TrimSpace(s) != ""
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
