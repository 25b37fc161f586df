package account

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Bounds on passwords. MaxPassword, in bytes, keeps a megabyte from being
// hashed; it leaves room for 64 characters of any script. Who signs in with a
// password alone needs 15 characters, and who has a second factor 8 (NIST SP
// 800-63B-4, 3.1.1.2).
const (
	MinPassword      = 8
	MinPasswordAlone = 15
	MaxPassword      = 1024
)

// blocklist holds the first 8 bytes of SHA-256 of each common password of 6
// characters and more, in lower case, as lines of hex, sorted. Nobody has to read
// them so, and looking one up needs nothing built beforehand. internal/blocklist
// makes it.
//
//go:embed blocklist.txt
var blocklist string

// blockedSize is that of a line, its end included.
const blockedSize = 17

// Rules are those of new passwords (NIST SP 800-63B-4): how long, and not one
// that everybody tries first. What they are composed of is nobody's affair.
type Rules struct {
	// Min is the least characters, 8 to 64.
	Min int
	// Words are the service's own: a password of little else is refused.
	Words []string
}

// DefaultRules are for accounts of which a second factor is asked.
func DefaultRules() Rules {
	return Rules{Min: MinPassword, Words: []string{"neosc", "pomerium", "zitadel", "password", "passwort", "contraseña"}}
}

func (r Rules) validate() error {
	if r.Min < MinPassword || r.Min > 64 {
		return fmt.Errorf("passwords of at least %d characters: want %d to 64", r.Min, MinPassword)
	}
	return nil
}

// normalPassword is the form in which a password is hashed: NFKC, since one
// keyboard sends é as one character and another as two.
func normalPassword(p string) string { return norm.NFKC.String(p) }

// couldBePassword reports whether p is worth hashing: rules may have been
// others when it was chosen.
func couldBePassword(p string) bool {
	return p != "" && len(p) <= MaxPassword && utf8.ValidString(p)
}

// check judges a new password and returns its normal form. whose are words of
// the account: its email and name. Errors wrap session.ErrBadUser and do not
// hold the password.
func (r Rules) check(p string, whose ...string) (string, error) {
	if len(p) > MaxPassword {
		return "", badUser("password has %d bytes, at most %d are allowed", len(p), MaxPassword)
	}
	if !utf8.ValidString(p) {
		return "", badUser("password is not UTF-8")
	}
	p = normalPassword(p)
	if n := utf8.RuneCountInString(p); n < r.Min {
		return "", badUser("password has %d characters, at least %d are needed", n, r.Min)
	}
	folded := strings.ToLower(p)
	switch {
	case isBlocked(folded):
		return "", badUser("password is one that many people use, and so among the first to be guessed")
	case isRow(folded):
		return "", badUser("password is a row or a repetition, and so among the first to be guessed")
	case r.isContext(folded, whose):
		return "", badUser("password is little more than the email, the name or the service's name")
	}
	return p, nil
}

// fewMore is how many characters around a common word are no help: whoever
// guesses puts years and exclamation marks there first.
const fewMore = 4

// isBlocked reports whether a password is common, or a common one with few
// digits and signs around it.
func isBlocked(folded string) bool {
	if inBlocklist(folded) {
		return true
	}
	core := strings.TrimFunc(folded, func(c rune) bool { return !unicode.IsLetter(c) })
	more := utf8.RuneCountInString(folded) - utf8.RuneCountInString(core)
	return more > 0 && more <= fewMore && inBlocklist(core)
}

func inBlocklist(folded string) bool {
	sum := sha256.Sum256([]byte(folded))
	want := hex.EncodeToString(sum[:8]) + "\n"
	n := len(blocklist) / blockedSize
	at := func(i int) string { return blocklist[i*blockedSize : (i+1)*blockedSize] }
	i := sort.Search(n, func(i int) bool { return at(i) >= want })
	return i < n && at(i) == want
}

// rowLength is up to where rows are looked for: longer ones take as long to
// guess as other words do.
const rowLength = 32

// isRow reports whether a password is one of up to four characters over and
// over, or goes up or down by one: aaaaaaaa, abcabcabc, 87654321.
func isRow(folded string) bool {
	c := []rune(folded)
	if len(c) > rowLength {
		return false
	}
	for period := 1; period <= 4 && 2*period <= len(c); period++ {
		same := true
		for i := period; i < len(c) && same; i++ {
			same = c[i] == c[i-period]
		}
		if same {
			return true
		}
	}
	for _, step := range []rune{1, -1} {
		row := true
		for i := 1; i < len(c) && row; i++ {
			row = c[i]-c[i-1] == step
		}
		if row {
			return true
		}
	}
	return false
}

// isContext reports whether fewer than MinPassword characters are left of a
// password once the words of the account and of the service are taken out.
func (r Rules) isContext(folded string, whose []string) bool {
	words := slices.Clone(r.Words)
	for _, w := range whose {
		w = strings.ToLower(normalPassword(w))
		words = append(words, w)
		words = append(words, strings.FieldsFunc(w, func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) })...)
	}
	sort.SliceStable(words, func(i, j int) bool { return len(words[i]) > len(words[j]) })
	rest := folded
	for _, w := range words {
		if utf8.RuneCountInString(w) >= 3 {
			rest = strings.ReplaceAll(rest, w, "")
		}
	}
	return rest != folded && utf8.RuneCountInString(rest) < MinPassword
}
