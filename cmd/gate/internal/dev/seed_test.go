package dev

import (
	"bytes"
	"context"
	"errors"
	"math"
	"regexp"
	"strings"
	"testing"
)

// book keeps users in memory; failAt makes Add fail for that email.
type book struct {
	users  map[string]SeedUser
	failAt string
}

func (b *book) Exists(_ context.Context, email string) (bool, error) {
	_, ok := b.users[email]
	return ok, nil
}

var errFull = errors.New("disk full")

func (b *book) Add(_ context.Context, u SeedUser) error {
	if u.Email == b.failAt {
		return errFull
	}
	b.users[u.Email] = u
	return nil
}

func TestSeedAddsOnePersonPerRoleAndSaysThePasswordsOnce(t *testing.T) {
	t.Parallel()
	b := &book{users: map[string]SeedUser{}}
	var first, second bytes.Buffer
	if err := Seed(t.Context(), b, "neosc.localhost", "st/gate.yaml", &first); err != nil {
		t.Fatal(err)
	}
	roles := map[string]int{}
	for _, u := range b.users {
		roles[strings.Join(u.Roles, "+")]++
		if strings.Count(first.String(), u.Password) != 1 {
			t.Errorf("the password of %s is not printed once", u.Email)
		}
	}
	if len(b.users) != 5 || roles["admin"] != 1 || roles["neosc"] != 2 || roles["user"] != 1 || roles["demo-user"] != 1 {
		t.Errorf("roles %v", roles)
	}
	for email, want := range map[string]SeedUser{
		"admin@neosc.localhost": {WorkspaceType: "linux"}, "neosc@neosc.localhost": {WorkspaceType: "linux"}, "neosc2@neosc.localhost": {},
		"user@neosc.localhost": {}, "demo@neosc.localhost": {WorkspaceType: "linux", DemoSeconds: 1800},
	} {
		if u, ok := b.users[email]; !ok || u.WorkspaceType != want.WorkspaceType || u.DemoSeconds != want.DemoSeconds {
			t.Errorf("%s: %v %+v", email, ok, u)
		}
	}
	before := b.users["admin@neosc.localhost"].Password
	if err := Seed(t.Context(), b, "neosc.localhost", "st/gate.yaml", &second); err != nil {
		t.Fatal(err)
	}
	if b.users["admin@neosc.localhost"].Password != before {
		t.Error("a second run changed a password")
	}
	for _, u := range b.users {
		if strings.Contains(second.String(), u.Password) {
			t.Error("a second run printed a password")
		}
	}
	wantText(t, second.String(), "Kept from an earlier run", "demo@neosc.localhost", "gate user passwd EMAIL -config st/gate.yaml")
}

func TestSeedThatFailsHalfwayStillPrintsWhatItAdded(t *testing.T) {
	t.Parallel()
	b := &book{users: map[string]SeedUser{}, failAt: "user@neosc.localhost"}
	var out bytes.Buffer
	err := Seed(t.Context(), b, "neosc.localhost", "st/gate.yaml", &out)
	if !errors.Is(err, errFull) {
		t.Fatalf("error %v", err)
	}
	wantText(t, err.Error(), "user@neosc.localhost")
	for _, u := range b.users {
		wantText(t, out.String(), u.Password)
	}
}

func TestPasswordsAreLongPlainAndEvenlyDrawn(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[^0Oo1lI5S2Z8B\s]{20}$`)
	seen := map[string]bool{}
	counts := map[rune]int{}
	const n = 5000
	for range n {
		p := newPassword()
		if !form.MatchString(p) || seen[p] {
			t.Fatalf("password %q", p)
		}
		seen[p] = true
		for _, c := range p {
			counts[c]++
		}
	}
	mean := float64(n*passwordLength) / float64(len(passwordAlphabet))
	for _, c := range passwordAlphabet {
		// Seven standard deviations: 1 in 10^12 by chance.
		if off := math.Abs(float64(counts[c]) - mean); off > 7*math.Sqrt(mean) {
			t.Errorf("%q came up %d times, expected about %.0f", c, counts[c], mean)
		}
	}
}
