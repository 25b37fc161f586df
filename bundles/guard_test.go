package bundles_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const failingTest = "package neosc.more_test\n\ntest_no if 1 == 2\n"

// Who went back to an old bundle is brought none that lies between it and the
// highest that was ever active.
func TestGoingBackOpensNoDoorToOldBundles(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	for i, word := range []string{"one", "two", "five"} {
		s.must(s.offer(s.bundle(word, []uint64{1, 2, 5}[i])))
	}
	if _, err := s.Rollback("one"); err != nil {
		t.Fatal(err)
	}
	for _, sequence := range []uint64{2, 4, 5} {
		if err := s.offer(s.bundle("between", sequence)); err == nil || !strings.Contains(err.Error(), "5 was active already") {
			t.Errorf("%d: %v", sequence, err)
		}
	}
	s.restart() // a new process knows it as well
	s.must(s.Reload())
	if err := s.offer(s.bundle("between", 4)); err == nil {
		t.Error("4 is active after a restart")
	}
	s.decides("one")
}

// A kept file in which another bundle was put, though it is signed, is not gone
// back to: it may be one that nobody ever let in here.
func TestAKeptBundleIsTheOneThatItWas(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	s.must(s.offer(s.bundle("one", 1)))
	s.must(s.offer(s.bundle("two", 2)))
	all, _, err := s.Kept()
	s.must(err)
	s.put(filepath.Join(s.dir, "kept", all[1].ID+".tar.gz"), s.bundle("other", 9))
	if _, err := s.Rollback("one"); err == nil || !strings.Contains(err.Error(), "holds another one than its name says") {
		t.Errorf("%v", err)
	}
	s.put(filepath.Join(s.dir, "kept", all[1].ID+".tar.gz"), []byte("\x1f\x8b"))
	if _, err := s.Rollback("one"); err == nil {
		t.Error("went back to a damaged one")
	}
	s.decides("two")
}

// What somebody went back from does not come by way of a start at which what was
// kept is lost.
func TestAStartBringsNothingThatSomebodyWentBackFrom(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	s.must(s.offer(s.bundle("one", 0)))
	s.must(s.offer(s.bundle("two", 0)))
	x, err := s.Rollback("one")
	s.must(err)
	s.must(os.Remove(filepath.Join(s.dir, "kept", x.Bundle.ID+".tar.gz")))
	s.restart()
	if err := s.Reload(); err == nil || !strings.Contains(err.Error(), "an operator went back from it") {
		t.Errorf("%v", err)
	}
}

func TestWhatIsPromotedIsSignedAndTestedToo(t *testing.T) {
	t.Parallel()
	s := newStand(t, nil)
	s.must(s.offer(s.bundle("one", 1)))
	private, _ := s.pair("other", 7)
	for says, packed := range map[string][]byte{
		"of the bundle's 2 tests failed": s.bundle("two", 2, "more_test.rego", failingTest),
		"no key that is trusted":         signedBy(t, private, s.bundle("two", 2)),
	} {
		if _, _, err := s.Promote(packed); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	s.decides("one")
	if _, lasting, err := s.Promote(s.bundle("two", 2)); err != nil || !lasting {
		t.Errorf("%t, %v", lasting, err)
	}
	s.decides("two")
}
