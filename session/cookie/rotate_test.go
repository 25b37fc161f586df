package cookie_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/neosc/gate/session/cookie"
)

var noon = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

// ringAt opens a ring whose clock can be set.
func ringAt(t *testing.T, path string, now *time.Time) *cookie.Ring {
	t.Helper()
	ring := openRing(t, path)
	cookie.SetClock(ring, func() time.Time { return *now })
	return ring
}

func keyOf(t *testing.T, s *cookie.Sealer) string {
	t.Helper()
	return strings.Split(seal(t, s, payload()), ".")[1]
}

func states(keys []cookie.KeyInfo) string {
	var out []string
	for _, k := range keys {
		out = append(out, k.ID+" "+string(k.State))
	}
	return strings.Join(out, ", ")
}

func TestARotatedKeyOpensAtOnceAndSealsLater(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ring.yaml")
	writeRing(t, path, "active: a\nkeys:\n- {id: a, secret: "+secretA+"}\n")
	now := noon
	early, late := ringAt(t, path, &now), ringAt(t, path, &now) // replicas
	first, second := sealer(t, early, "_pomerium", "session"), sealer(t, late, "_pomerium", "session")
	old := seal(t, first, payload())
	k, err := cookie.Rotate(path, now, now.Add(cookie.Lead))
	if err != nil {
		t.Fatal(err)
	}
	if k.State != cookie.Next || !k.Created.Equal(noon) || !k.ActiveFrom.Equal(noon.Add(cookie.Lead)) {
		t.Errorf("the new key is %+v", k)
	}
	if err := early.Reload(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after time.Duration
		want  string
	}{{0, "a"}, {cookie.Lead - time.Second, "a"}, {cookie.Lead, k.ID}, {1000 * time.Hour, k.ID}} {
		now = noon.Add(c.after)
		if got := keyOf(t, first); got != c.want {
			t.Errorf("after %s seals %s, want %s", c.after, got, c.want)
		}
		if c.after < cookie.Lead { // the replica that has not read the file yet
			if _, err := second.Open(seal(t, first, payload())); err != nil {
				t.Errorf("after %s a replica cannot open what another seals", c.after)
			}
		}
	}
	if err := late.Reload(); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*cookie.Sealer{first, second} {
		for _, v := range []string{old, seal(t, first, payload())} {
			if _, err := s.Open(v); err != nil {
				t.Error("somebody is signed out")
			}
		}
	}
}

func TestListSaysWhatEachKeyDoes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ring.yaml")
	// c was made active by hand and b, which was before it, has a time: a file
	// of hands and commands both.
	writeRing(t, path, "active: c\nkeys:\n- {id: a, secret: "+secretA+"}\n"+
		"- {id: b, secret: "+secretB+", active_from: 2026-03-05T11:00:00Z}\n"+
		"- {id: c, secret: "+secretA[:42]+"E, active_from: 2026-03-05T11:30:00Z}\n"+
		"- {id: d, secret: "+secretB[:42]+"E, active_from: 2026-03-05T12:10:00Z}\n")
	for at, want := range map[time.Duration]string{
		0:                "a old, b old, c seals, d next",
		10 * time.Minute: "a old, b old, c old, d seals",
	} {
		keys, err := cookie.List(path, noon.Add(at))
		if err != nil || states(keys) != want {
			t.Errorf("after %s: %s, %v; want %s", at, states(keys), err, want)
		}
	}
	// Each is needed until Lead after the turn of the one that followed it, and
	// then as long as a cookie lives.
	keys, err := cookie.List(path, noon)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"11:10", "11:40", "00:00", "00:00"} {
		if got := keys[i].Until.Format("15:04"); got != want {
			t.Errorf("%s until %s, want %s", keys[i].ID, got, want)
		}
	}
}

func TestWhatAHandWroteWithoutTimesIsNeverPruned(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ring.yaml")
	writeRing(t, path, "active: b\nkeys:\n- {id: a, secret: "+secretA+"}\n- {id: b, secret: "+secretB+"}\n")
	gone, err := cookie.Prune(path, noon, time.Hour)
	if err != nil || len(gone) != 0 {
		t.Errorf("removed %v, error %v", gone, err)
	}
}

// TestNoCookieIsEverLost plays rotations and prunings at random times: every
// cookie that is not over opens at every replica, however late that one reads
// the file.
func TestNoCookieIsEverLost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := 0
	const life, late = time.Hour, time.Minute
	rapid.Check(t, func(r *rapid.T) {
		n++
		path := filepath.Join(dir, fmt.Sprintf("%d.yaml", n))
		writeRing(t, path, "active: a\nkeys:\n- {id: a, secret: "+secretA+"}\n")
		now := noon
		replicas := []*cookie.Ring{ringAt(t, path, &now), ringAt(t, path, &now)}
		type sealed struct {
			value string
			ends  time.Time
		}
		var cookies []sealed
		for range rapid.IntRange(1, 12).Draw(r, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(40*time.Minute)).Draw(r, "pause")))
			var err error
			switch rapid.IntRange(0, 2).Draw(r, "step") {
			case 0:
				_, err = cookie.Rotate(path, now, now.Add(cookie.Lead))
			case 1:
				_, err = cookie.Prune(path, now, life)
			}
			if err != nil {
				r.Fatal(err)
			}
			// One reads at once, the other so late as it may; both seal meanwhile.
			if err := replicas[0].Reload(); err != nil {
				r.Fatal(err)
			}
			for _, ring := range replicas {
				cookies = append(cookies, sealed{seal(t, sealer(t, ring, "_pomerium", "session"), payload()), now.Add(life)})
			}
			for _, ring := range replicas {
				for _, c := range cookies {
					if _, err := sealer(t, ring, "_pomerium", "session").Open(c.value); err != nil && now.Before(c.ends) {
						r.Fatalf("at %s a cookie that lasts to %s opens no longer", now, c.ends)
					}
				}
			}
			now = now.Add(late)
			if err := replicas[1].Reload(); err != nil {
				r.Fatal(err)
			}
		}
	})
}

func TestPruneTakesWhatNoCookieNeeds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ring.yaml")
	writeRing(t, path, "active: a\nkeys:\n- {id: a, secret: "+secretA+"}\n")
	k, err := cookie.Rotate(path, noon, noon.Add(cookie.Lead))
	if err != nil {
		t.Fatal(err)
	}
	needed := noon.Add(cookie.Lead + cookie.Lead + 8*time.Hour)
	for _, c := range []struct {
		at   time.Time
		want string
	}{{noon, ""}, {needed.Add(-time.Second), ""}, {needed, "a old"}, {needed, ""}} {
		gone, err := cookie.Prune(path, c.at, 8*time.Hour)
		if err != nil || states(gone) != c.want {
			t.Errorf("at %s: removed %q, error %v; want %q", c.at, states(gone), err, c.want)
		}
	}
	keys, err := cookie.List(path, needed)
	if err != nil || states(keys) != k.ID+" seals" {
		t.Errorf("left %s, %v", states(keys), err)
	}
	now := needed
	if got := keyOf(t, sealer(t, ringAt(t, path, &now), "_pomerium", "session")); got != k.ID {
		t.Errorf("seals %s", got)
	}
}

func TestRotationOfABadRingChangesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ring.yaml")
	if _, err := cookie.Rotate(path, noon, noon); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	var full strings.Builder
	full.WriteString("active: k0\nkeys:\n")
	for i := range 64 {
		fmt.Fprintf(&full, "- {id: k%d, secret: %s}\n", i, secretA)
	}
	for name, c := range map[string]struct{ body, want string }{
		"Garbage":  {"keys: [", "is not a key ring"},
		"NoActive": {"keys:\n- {id: a, secret: " + secretA + "}\n", "active key"},
		"Full":     {full.String(), "prune first"},
	} {
		writeRing(t, path, c.body)
		_, err := cookie.Rotate(path, noon, noon)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), secretA) {
			t.Errorf("%s: %v", name, err)
		}
		if b, _ := os.ReadFile(path); string(b) != c.body {
			t.Errorf("%s: the file was changed", name)
		}
	}
	writeRing(t, path, "active: a\nkeys:\n- {id: a, secret: "+secretA+"}\n")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := cookie.List(path, noon); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others can read: %v", err)
	}
}
