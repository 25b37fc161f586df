package bundles_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/bundles"
	"github.com/neosc/gate/bundles/archive"
)

func TestABundleIsVerifiedTestedKeptAndActive(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	s.must(s.offer(s.bundle("one", 1)))
	s.decides("one")
	x := s.Status()
	if b := x.Bundle; b == nil || b.Revision != "one" || b.Sequence != 1 || b.Signature.KeyID != "release" || b.Tests != 1 || b.Kept || x.LastError != nil {
		t.Errorf("status %+v of %+v", x, b)
	}
	s.must(s.offer(s.bundle("two", 2)))
	s.decides("two")
	if got := strings.Join(s.told(), ", "); got != "source one, source two" {
		t.Errorf("told %s", got)
	}
	all, active, err := s.Kept()
	if err != nil || len(all) != 2 || all[0].Revision != "two" || all[0].ID != active || all[1].Signer != "release" {
		t.Errorf("kept %+v, %v", all, err)
	}
}

// Without its source a gate starts with what was active last.
func TestAStartWithoutTheSourceUsesWhatWasActive(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	s.must(s.offer(s.bundle("one", 1)))
	s.must(os.Remove(s.file))
	s.restart()
	s.must(s.Reload())
	s.decides("one")
	x := s.Status()
	if !x.Bundle.Kept || x.LastError == nil || x.Bundle.Signature.KeyID != "release" {
		t.Errorf("%+v", x)
	}
	s.put(s.file, []byte("<html>"))
	s.restart()
	s.must(s.Reload())
	s.decides("one")
}

func TestAStartRefusesAKeptBundleWhoseKeyIsNoLongerTrusted(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	s.must(s.offer(s.bundle("one", 1)))
	_, public := s.pair("other", 2)
	keys, err := archive.ReadPublicKeys([]string{public})
	s.must(err)
	s.trust = &archive.Trust{Keys: keys}
	s.restart()
	if err := s.Reload(); err == nil || !strings.Contains(err.Error(), "no key that is trusted (other)") {
		t.Errorf("starts: %v", err)
	}
}

// What was active when its signature still held goes on and starts again; what
// is new must hold now.
func TestAnExpiredSignatureIsRefusedOnlyWhereItIsNew(t *testing.T) {
	t.Parallel()
	now := noon
	s := newStand(t, func(o *bundles.Options) { o.Now = func() time.Time { return now } })
	s.must(s.offer(s.bundle("one", 1)))
	now = noon.Add(2 * time.Hour)
	if err := s.offer(s.bundle("two", 2)); err == nil || !strings.Contains(err.Error(), "expired at 2026-03-05T19:00:00Z") {
		t.Fatalf("%v", err)
	}
	s.decides("one")
	s.restart()
	s.must(s.Reload())
	s.decides("one")
	if x := s.Status(); !x.Bundle.Signature.ExpiresAt.Equal(noon.Add(time.Hour)) {
		t.Errorf("%+v", x.Bundle)
	}
}

func TestSigningAnewIsNoActivation(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	first := s.bundle("one", 1)
	s.must(s.offer(first))
	s.must(s.offer(s.sign(first, noon.Add(48*time.Hour))))
	x := s.Status()
	if x.Generation != 1 || !x.Bundle.Signature.ExpiresAt.Equal(noon.Add(48*time.Hour)) {
		t.Errorf("%+v, %+v", x, x.Bundle)
	}
	s.must(os.Remove(s.file))
	s.restart()
	s.must(s.Reload())
	if b := s.Status().Bundle; !b.Signature.ExpiresAt.Equal(noon.Add(48 * time.Hour)) {
		t.Errorf("kept as it was signed first: %+v", b)
	}
}

func TestRevisionsOnlyGoUp(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	five := s.bundle("five", 5)
	s.must(s.offer(five))
	for name, c := range map[string]struct {
		packed []byte
		says   string
	}{
		"Lower":                         {s.bundle("four", 4), "its sequence is 4, and 5 was active already"},
		"TheSameAndAnother":             {s.bundle("other", 5), "its sequence is 5, and 5 was active already"},
		"None":                          {s.bundle("none", 0), "its sequence is 0, and 5 was active already"},
		"ANameThatIsTaken":              {s.bundle("five", 6, "data.json", `{"neosc": {"word": "five", "roles": ["user", "x"]}}`), "revision five was that of another content"},
		"ANameThatIsTakenAndALowerOne2": {s.bundle("five", 3, "data.json", `{"neosc": {"word": "five", "roles": ["user", "x"]}}`), "its sequence is 3"},
	} {
		if err := s.offer(c.packed); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		s.decides("five")
	}
	s.restart() // a new process knows it as well
	if err := s.offer(s.bundle("four", 4)); err != nil {
		t.Fatal(err) // it starts with the kept one
	}
	s.decides("five")
	if err := s.Status().LastError; err == nil || !strings.Contains(err.Error(), "5 was active already") {
		t.Errorf("%v", err)
	}
	s.must(s.offer(s.bundle("six", 6)))
	s.decides("six")
}

func TestRollback(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	for i, word := range []string{"one", "two", "three"} {
		s.must(s.offer(s.bundle(word, uint64(i+1))))
	}
	s.told()
	rollback := func(to, want string) {
		t.Helper()
		x, err := s.Rollback(to)
		if err != nil || x.Revision != want || x.Cause != bundles.FromOperator {
			t.Fatalf("%+v, %v", x, err)
		}
		s.decides(want)
	}
	rollback("", "two")
	s.must(s.Reload()) // the source still has three
	s.decides("two")
	if x := s.Status(); x.Held != "three" || x.LastError != nil {
		t.Errorf("%+v", x)
	}
	rollback("", "one") // and further back
	s.restart()
	s.must(s.Reload())
	s.decides("one")
	if _, err := s.Rollback(""); err == nil || !strings.Contains(err.Error(), "all that is kept besides is what was gone back from") {
		t.Errorf("%v", err)
	}
	if _, err := s.Rollback("one"); err == nil || !strings.Contains(err.Error(), "active already") {
		t.Errorf("%v", err)
	}
	if _, err := s.Rollback("four"); err == nil || !strings.Contains(err.Error(), `no kept bundle has revision "four"`) {
		t.Errorf("%v", err)
	}
	rollback("three", "three") // and forward again
	s.must(s.Reload())
	if x := s.Status(); x.Held != "" || x.Revision != "three" {
		t.Errorf("%+v", x)
	}
	if err := s.offer(s.bundle("late", 2)); err == nil {
		t.Error("a lower sequence is active")
	}
	s.must(s.offer(s.bundle("four", 4)))
	if got := strings.Join(s.told(), ", "); got != "operator two, operator one, kept one, operator three, refused late, source four" {
		t.Errorf("told %s", got)
	}
}

// Whoever came forward again can go back again.
func TestAfterComingForwardAgainThereIsAWayBack(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	for i, word := range []string{"one", "two", "three"} {
		s.must(s.offer(s.bundle(word, uint64(i+1))))
	}
	for _, step := range [][2]string{{"", "two"}, {"", "one"}, {"three", "three"}, {"", "one"}, {"two", "two"}, {"", "one"}} {
		if x, err := s.Rollback(step[0]); err != nil || x.Revision != step[1] {
			t.Fatalf("to %q: %+v, %v", step[0], x, err)
		}
	}
	if _, err := s.Rollback(""); err == nil {
		t.Error("went back to what somebody went back from")
	}
}

func TestTheLastBundlesAreKept(t *testing.T) {
	t.Parallel()
	s := newStand(t, func(o *bundles.Options) { o.Keep = 3 })
	for i, word := range []string{"one", "two", "three", "four", "five"} {
		s.must(s.offer(s.bundle(word, uint64(i+1))))
	}
	all, _, err := s.Kept()
	s.must(err)
	var names []string
	for _, b := range all {
		names = append(names, b.Revision)
	}
	files, err := filepath.Glob(filepath.Join(s.dir, "kept", "*.tar.gz"))
	if err != nil || strings.Join(names, " ") != "five four three" || len(files) != 3 {
		t.Errorf("kept %v in %v, %v", names, files, err)
	}
}

func TestBadBundlesAreRefusedAndTheOldServes(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	s.must(s.offer(s.bundle("one", 1)))
	s.told()
	for _, c := range []struct {
		name   string
		packed []byte
		says   string
	}{
		{"BrokenRego", s.unbuilt(map[string]string{"authz.rego": "package ("}), "authz.rego"},
		{"FailingTest", s.bundle("two", 2, "more_test.rego", "package neosc.more_test\n\ntest_no if 1 == 2\n"), "1 of the bundle's 2 tests failed: neosc.more_test.test_no (more_test.rego:3)"},
		{"HTTPSend", s.bundle("two", 2, "more.rego", "package neosc.more\n\nx := http.send({\"method\": \"get\", \"url\": \"http://127.0.0.1\"})\n"), "built-in http.send is not available"},
		{"HTTPSendInATest", s.bundle("two", 2, "more_test.rego", "package neosc.more_test\n\ntest_x if http.send({\"method\": \"get\", \"url\": \"http://127.0.0.1\"}).status_code == 200\n"), "http.send"},
		{"HeaderThatIsNotForwarded", s.bundle("two", 2, "more.rego", "package neosc.more\n\nx if input.attributes.request.http.headers[\"x-country\"] == \"MX\"\n"), `reads header "x-country", which Envoy does not forward`},
		{"HeaderThatMayNotBeSet", s.bundle("two", 2, "authz.rego", "package neosc.authz\n\ndecision := {\"allowed\": true, \"headers\": {\"host\": \"x\"}}\n"), `"host"`},
		{"NoEntryPoint", s.bundle("two", 2, "authz.rego", "package neosc.other\n\nx := 1\n"), "there is no rule data.neosc.authz.decision"},
		{"OutsideItsRoots", s.unbuilt(map[string]string{".manifest": `{"roots": ["neosc/authz"], "metadata": {"sequence": 2}}`, "x.rego": "package other\n"}), "package other lies outside the roots"},
		{"DataSetTwice", s.unbuilt(map[string]string{"data.json": `{"neosc": {"word": "two"}}`, "neosc/data.json": `{"word": "three"}`}), "data.neosc.word is set by another data file too"},
		{"NoBundle", []byte("<html>"), "is no gzip file"},
		{"Cut", s.bundle("two", 2)[:200], "cut or damaged"},
	} {
		err := s.offer(c.packed)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
		if x := s.Status(); x.LastError == nil || x.Revision != "one" || x.Generation != 1 {
			t.Errorf("%s: %+v", c.name, x)
		}
		if told := s.told(); len(told) != 1 || !strings.HasPrefix(told[0], "refused") {
			t.Errorf("%s: told %v", c.name, told)
		}
		if s.Reload() == nil || len(s.told()) != 0 { // the same again is no news
			t.Errorf("%s: told twice", c.name)
		}
		s.decides("one")
	}
	s.must(s.offer(s.bundle("two", 2)))
	s.decides("two")
}

// The tests of a bundle have a time, all together.
func TestABundleWhoseTestsDoNotEndIsRefused(t *testing.T) {
	t.Parallel()
	limit := 30 * time.Second
	s := newStand(t, func(o *bundles.Options) { o.TestTime = limit })
	s.must(s.offer(s.bundle("one", 1)))
	limit = 100 * time.Millisecond
	s.restart()
	s.must(s.Reload())
	err := s.offer(s.bundle("two", 2, "more_test.rego", "package neosc.more_test\n\ntest_long if {\n\tn := numbers.range(1, 30000)\n\tsome i in n\n\tsome j in n\n\ti * j == 0\n}\n"))
	if err == nil || !strings.Contains(err.Error(), "did not end within 100ms") {
		t.Errorf("%v", err)
	}
	s.decides("one")
}

// unbuilt is a signed bundle that Build would not have built.
func (s *stand) unbuilt(files map[string]string) []byte {
	s.t.Helper()
	all := []entry{}
	for name, text := range files {
		all = append(all, entry{name, text})
	}
	if _, there := files[".manifest"]; !there {
		all = append(all, entry{".manifest", `{"revision": "two", "metadata": {"sequence": 2}}`})
	}
	if _, there := files["authz.rego"]; !there {
		all = append(all, entry{"authz.rego", "package neosc.authz\n\ndecision := true\n"})
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	return s.sign(tarOf(s.t, all), noon.Add(time.Hour))
}

func TestManagersOfBundlesWantWhatTheyNeed(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	for says, change := range map[string]func(*bundles.Options){
		"Kept is missing":           func(o *bundles.Options) { o.Kept = "" },
		"a directory is not signed": func(o *bundles.Options) { o.Dir, o.File = s.dir, "" },
		"want one of":               func(o *bundles.Options) { o.Dir = s.dir },
		"Trust has no keys":         func(o *bundles.Options) { o.Trust = &archive.Trust{} },
	} {
		o := bundles.Options{Engine: s.engine, File: s.file, Kept: s.dir, Trust: s.trust, Logger: discard()}
		change(&o)
		if _, err := bundles.New(o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	d := newPlace(t)
	if _, err := d.manager.Rollback(""); err == nil {
		t.Error("a directory was rolled back")
	}
}
