package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/neosc/gate/authz/audit"
	"github.com/neosc/gate/session"
)

// seals is a trail with a notary and a clock that the test moves.
type seals struct {
	place
	trail  *audit.Trail
	notary *audit.Notary
	keys   *audit.Keys
	// keyFile is where they are.
	keyFile string
	now     atomic.Int64
	out     string // the file that checkpoints go to
}

func newSeals(t *testing.T, p place, edit func(*audit.NotaryOptions)) *seals {
	t.Helper()
	s := &seals{place: p, out: filepath.Join(t.TempDir(), "notes"), keyFile: filepath.Join(t.TempDir(), "keys")}
	s.at(noon)
	clock := func() time.Time { return time.Unix(0, s.now.Load()).UTC() }
	log := slog.New(slog.DiscardHandler)
	var err error
	if s.trail, err = audit.New(t.Context(), audit.Options{DB: p.db, Dialect: p.d, Clock: clock, Logger: log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.trail.Close() })
	if s.keys, err = audit.OpenKeys(s.keyFile, "audit.test"); err != nil {
		t.Fatal(err)
	}
	o := audit.NotaryOptions{DB: p.db, Dialect: p.d, Trail: s.trail, Keys: s.keys, Clock: clock, Logger: log, Sinks: []audit.Sink{audit.FileSink(s.out)}, Every: time.Minute, Entries: 5}
	if edit != nil {
		edit(&o)
	}
	if s.notary, err = audit.NewNotary(o); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *seals) at(t time.Time) { s.now.Store(t.UnixNano()) }

// add appends entries at the clock's instant.
func (s *seals) add(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		e := event("ana", i)
		e.Time = time.Time{}
		appendAll(t, s.trail, e)
	}
}

func (s *seals) round(t *testing.T) {
	t.Helper()
	if err := s.notary.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// exported are the checkpoints that left.
func (s *seals) exported(t *testing.T) []audit.Checkpoint {
	t.Helper()
	b, err := os.ReadFile(s.out)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	all, err := audit.ReadCheckpoints(bytes.NewReader(b), s.keys.Verifiers())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (s *seals) expected(t *testing.T) audit.Expected {
	return audit.Expected{Keys: s.keys.Verifiers(), Exported: s.exported(t)}
}

func (s *seals) sql(t *testing.T, statements ...string) {
	t.Helper()
	for _, q := range statements {
		if _, err := s.db.Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

func TestCheckpointsAreSignedWhenDueAndExported(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		s := newSeals(t, p, nil)
		s.round(t)
		if got := s.exported(t); len(got) != 0 {
			t.Errorf("an empty trail has %v", got)
		}
		s.add(t, 1)
		s.round(t) // the first
		s.add(t, 1)
		s.round(t) // too soon
		s.add(t, 4)
		s.round(t) // five entries since
		s.add(t, 1)
		s.at(noon.Add(time.Minute))
		s.round(t) // a minute since
		s.round(t) // nothing new
		var got []string
		for _, c := range s.exported(t) {
			got = append(got, fmt.Sprint(c.Number, " ", c.At.Format("15:04")))
		}
		if want := "[1 12:00 6 12:00 7 12:01]"; fmt.Sprint(got) != want {
			t.Errorf("checkpoints %v, want %s", got, want)
		}
		span, err := audit.Verify(t.Context(), p.db, p.d, s.expected(t))
		if err != nil || span.Checkpoints != 3 || span.Entries() != 7 {
			t.Errorf("%+v, %v", span, err)
		}
	})
}

// Whoever owns the database can make all hashes anew, but no checkpoint that left.
func TestATrailMadeAnewIsFoundByWhatWasExported(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		s := newSeals(t, p, nil)
		s.add(t, 6)
		s.round(t)
		s.add(t, 6)
		s.round(t)
		// Another trail of as many entries, in the place of this one.
		s.sql(t, p.tamper...)
		s.sql(t, `DELETE FROM audit_entries`, `DELETE FROM audit_checkpoints`)
		if _, err := p.db.Exec(p.d.Bind(`UPDATE audit_head SET number = 0, hash = ?`), make([]byte, 32)); err != nil {
			t.Fatal(err)
		}
		for i := range 12 {
			appendAll(t, s.trail, event("mallory", i))
		}
		if _, err := audit.Verify(t.Context(), p.db, p.d, audit.Expected{}); err != nil {
			t.Fatalf("in itself it is sound: %v", err)
		}
		_, err := audit.Verify(t.Context(), p.db, p.d, s.expected(t))
		if e, ok := errors.AsType[*audit.TamperedError](err); !ok || e.Number != 6 || !strings.Contains(e.What, "made anew") {
			t.Errorf("found %v", err)
		}
		if err := s.notary.Round(t.Context()); err == nil {
			t.Error("the notary signed a trail that does not follow from the one before")
		}
	})
}

func TestTruncationIsFoundThoughHeadAndCheckpointsWereMended(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		s := newSeals(t, p, nil)
		s.add(t, 10)
		s.round(t)
		s.sql(t, p.tamper...)
		s.sql(t, `DELETE FROM audit_entries WHERE number > 8`, `DELETE FROM audit_checkpoints`, `UPDATE audit_head SET number = 8, hash = (SELECT hash FROM audit_entries WHERE number = 8)`)
		_, err := audit.Verify(t.Context(), p.db, p.d, s.expected(t))
		if e, ok := errors.AsType[*audit.TamperedError](err); !ok || e.Number != 9 || !strings.Contains(e.What, "entries 9 to 10 were cut off") {
			t.Errorf("found %v", err)
		}
		if err := s.notary.Round(t.Context()); err == nil || !strings.Contains(err.Error(), "entries 9 to 10 were cut off") {
			t.Errorf("the notary says %v", err)
		}
	})
}

func TestDaysAreSealedAndTakenOutOnceKeptLongEnough(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		s := newSeals(t, p, func(o *audit.NotaryOptions) { o.Keep = 2 * 24 * time.Hour })
		day := func(n int) time.Time { return noon.AddDate(0, 0, n) }
		for n := range 4 { // entries 1-3, 4-6, 7-9 on the 5th, 6th, 7th; the 8th begins
			s.at(day(n))
			s.add(t, 3)
			s.round(t)
		}
		want := s.expected(t)
		want.KeptFrom = audit.KeptFrom(day(3), 2*24*time.Hour)
		span, err := audit.Verify(t.Context(), p.db, p.d, want)
		if err != nil || span.Start.Number != 3 || span.End.Number != 13 {
			t.Fatalf("%+v, %v: want the 5th gone, and an event of it", span, err)
		}
		page, err := s.trail.Entries(t.Context(), session.AuditQuery{Action: session.ActionAuditPruned})
		if err != nil || len(page) != 1 || page[0].Details["last"] != "3" || page[0].Details["until"] != "2026-03-05" {
			t.Errorf("%v, %v", page, err)
		}
		if _, err := p.db.Exec(`DELETE FROM audit_entries WHERE number = 4`); err == nil {
			t.Error("an entry that is kept was taken out")
		}
		// With a longer time they are missing, and without a key nobody can tell.
		want.KeptFrom = audit.KeptFrom(day(3), 3*24*time.Hour)
		if _, err := audit.Verify(t.Context(), p.db, p.d, want); err == nil || !strings.Contains(err.Error(), "2026-03-05, is to be kept still") {
			t.Errorf("found %v", err)
		}
		if _, err := audit.Verify(t.Context(), p.db, p.d, audit.Expected{}); err == nil || !strings.Contains(err.Error(), "entries 1 to 3 are missing") {
			t.Errorf("found %v", err)
		}
		// Another that begins with the trail as it is goes on.
		again, err := audit.NewNotary(audit.NotaryOptions{DB: p.db, Dialect: p.d, Trail: s.trail, Keys: s.keys, Keep: 2 * 24 * time.Hour, Clock: func() time.Time { return day(4) }, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		s.at(day(4))
		s.add(t, 1)
		if err := again.Round(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.round(t) // and the first one catches up
		want.KeptFrom = audit.KeptFrom(day(4), 2*24*time.Hour)
		if span, err = audit.Verify(t.Context(), p.db, p.d, want); err != nil || span.Start.Number != 6 {
			t.Errorf("%+v, %v", span, err)
		}
		s.sql(t, p.tamper...)
		s.sql(t, `DELETE FROM audit_entries WHERE number = 8`)
		if _, err := audit.Verify(t.Context(), p.db, p.d, want); err == nil || !strings.Contains(err.Error(), "entries 8 to 8 were removed") {
			t.Errorf("found %v", err)
		}
	})
}

func TestSinksKeepWhatTheyGetAndAreAskedAgainAfterTrouble(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	var got atomic.Pointer[string]
	var elsewhere atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/in" {
			elsewhere.Add(1)
			return
		}
		if down.Load() {
			http.Redirect(w, r, "/other", http.StatusTemporaryRedirect)
			return
		}
		b, _ := io.ReadAll(r.Body)
		body := r.Method + " " + r.Header.Get("Content-Type") + "\n" + string(b)
		got.Store(&body)
	}))
	defer srv.Close()
	post, err := audit.NewHTTPSink(srv.URL + "/in")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "notes")
	s := newSeals(t, onSQLite(t), func(o *audit.NotaryOptions) { o.Sinks = []audit.Sink{audit.DirSink(dir), post} })
	down.Store(true)
	s.add(t, 2)
	if err := s.notary.Round(t.Context()); err == nil || !strings.Contains(err.Error(), "307") {
		t.Errorf("a redirect gives %v", err)
	}
	down.Store(false)
	s.round(t)
	if b := got.Load(); b == nil || !strings.HasPrefix(*b, "POST text/plain; charset=utf-8\naudit.test\n2\n") || elsewhere.Load() != 0 {
		t.Errorf("posted %v, %d elsewhere", b, elsewhere.Load())
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 1 || filepath.Base(names[0]) != "00000000000000000002.note" {
		t.Errorf("files %v, %v", names, err)
	}
	if _, err := audit.NewHTTPSink("ftp://x/"); err == nil {
		t.Error("ftp was taken")
	}
}

func TestForeignAndAlteredCheckpointsAreRefused(t *testing.T) {
	t.Parallel()
	s := newSeals(t, onSQLite(t), nil)
	s.add(t, 3)
	s.round(t)
	b, err := os.ReadFile(s.out)
	if err != nil {
		t.Fatal(err)
	}
	other, err := audit.OpenKeys(filepath.Join(t.TempDir(), "keys"), "audit.test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.ReadCheckpoints(bytes.NewReader(b), other.Verifiers()); !errors.Is(err, audit.ErrUnknownKey) {
		t.Errorf("another key: %v", err)
	}
	altered := bytes.Replace(b, []byte("\n3\n"), []byte("\n2\n"), 1)
	if _, err := audit.ReadCheckpoints(bytes.NewReader(altered), s.keys.Verifiers()); err == nil || errors.Is(err, audit.ErrUnknownKey) {
		t.Errorf("altered: %v", err)
	}
	// In the database the same is found, and what others signed proves nothing.
	if _, err := s.db.Exec(`UPDATE audit_checkpoints SET note = ?`, bytes.TrimSuffix(altered, []byte("\n"))); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Verify(t.Context(), s.db, s.d, audit.Expected{Keys: s.keys.Verifiers()}); err == nil {
		t.Error("an altered checkpoint was let through")
	}
	span, err := audit.Verify(t.Context(), s.db, s.d, audit.Expected{Keys: other.Verifiers()})
	if err != nil || span.Unknown != 1 {
		t.Errorf("%+v, %v", span, err)
	}
}

func TestKeyFilesAreMadeOnceAndKeptPrivate(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "deep", "keys")
	first, err := audit.OpenKeys(file, "audit.test")
	if err != nil {
		t.Fatal(err)
	}
	again, err := audit.OpenKeys(file, "other")
	if err != nil || first.Public()[0] != again.Public()[0] {
		t.Fatalf("%v and %v, %v", first.Public(), again, err)
	}
	if _, err := note.NewVerifier(first.Public()[0]); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.ReadKeys(file); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others can read: %v", err)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("PRIVATE+KEY+audit.test+00000000+c2VjcmV0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.ReadKeys(bad); err == nil || !strings.Contains(err.Error(), "line 1") || strings.Contains(err.Error(), "c2Vj") {
		t.Errorf("nonsense: %v", err)
	}
	if _, err := audit.OpenKeys(filepath.Join(t.TempDir(), "keys"), "two words"); err == nil {
		t.Error("a name with a space was taken")
	}
}

func FuzzReadCheckpoints(f *testing.F) {
	f.Add([]byte("a\n1\nAA==\n\n— a BBBB\n"))
	f.Add([]byte("\n\n— x\n— y\nz"))
	keys, err := audit.OpenKeys(filepath.Join(f.TempDir(), "keys"), "audit.test")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if all, err := audit.ReadCheckpoints(bytes.NewReader(b), keys.Verifiers()); err == nil && len(all) > 0 {
			t.Errorf("read %v, which nobody signed", all)
		}
	})
}

func TestANotaryThatEndsSignsWhatThereIs(t *testing.T) {
	t.Parallel()
	s := newSeals(t, onSQLite(t), nil)
	s.add(t, 1)
	s.round(t)
	s.add(t, 2)
	ctx, end := context.WithCancel(t.Context())
	end()
	s.notary.Run(ctx)
	if all := s.exported(t); len(all) != 2 || all[1].Number != 3 || s.notary.Problem() != nil {
		t.Errorf("checkpoints %v, problem %v", all, s.notary.Problem())
	}
}
