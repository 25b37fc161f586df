package redisstore_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/redisstore"
	"github.com/neosc/gate/session/storetest"
	"github.com/neosc/gate/test/redistest"
)

func sample(n int, user string, now time.Time) *session.Session {
	return &session.Session{
		Key: sha256.Sum256(fmt.Append(nil, n, user)), Kind: session.Browser,
		Identity:  session.Identity{UserID: user, Email: user + "@example.com", Roles: []string{"user"}},
		CreatedAt: now.Truncate(time.Millisecond), ExpiresAt: now.Add(8 * time.Hour), IdleExpiresAt: now.Add(time.Hour), Version: 1,
	}
}

func TestDeleteUserTakesManyAndASignInUnderWay(t *testing.T) {
	t.Parallel()
	var late atomic.Bool
	now := base.Add(time.Second)
	o := options(common.URL)
	o.Clock = func() time.Time {
		if late.Load() {
			return now
		}
		return base
	}
	st := open(t, o)
	const n = 1203
	for i := range n {
		if err := st.Create(t.Context(), sample(i, "ana", base)); err != nil {
			t.Fatal(err)
		}
	}
	late.Store(true)
	keys, err := st.DeleteUser(t.Context(), "ana")
	if err != nil || len(keys) != n {
		t.Fatalf("%d keys, error %v; want %d", len(keys), err, n)
	}
	if left, err := st.CountLive(t.Context(), base); left != 0 || err != nil {
		t.Errorf("%d are left, error %v", left, err)
	}
	// Begun before the deletion, stored after it.
	storetest.WantErr(t, st.Create(t.Context(), sample(n, "ana", now.Add(-time.Millisecond))), session.ErrConflict)
	if err := st.Create(t.Context(), sample(n, "ana", now)); err != nil {
		t.Errorf("a sign-in afterwards is refused: %v", err)
	}
	if err := st.Create(t.Context(), sample(n, "bob", base)); err != nil {
		t.Errorf("somebody else's sign-in is refused: %v", err)
	}
}

func TestListGoesThroughManyOfOneInstant(t *testing.T) {
	t.Parallel()
	o := options(common.URL)
	o.Clock = func() time.Time { return base }
	st := open(t, o)
	const n = 1100
	for i := range n {
		if err := st.Create(t.Context(), sample(i, "ana", base)); err != nil {
			t.Fatal(err)
		}
	}
	for name, q := range map[string]session.Query{
		"All": {Limit: 1000}, "User": {UserID: "ana", Limit: 1000}, "Email": {Email: "ANA@example.com", Limit: 1000},
	} {
		page, err := st.List(t.Context(), q)
		distinct := map[session.Key]bool{}
		for _, s := range page {
			distinct[s.Key] = true
		}
		if err != nil || len(page) != 1000 || len(distinct) != 1000 {
			t.Errorf("%s: %d rows, %d of them different, error %v; want 1000", name, len(page), len(distinct), err)
		}
	}
	if page, err := st.List(t.Context(), session.Query{Email: "bob@example.com"}); len(page) != 0 || err != nil {
		t.Errorf("%d rows of nobody, error %v", len(page), err)
	}
}

func TestServerLetsGoOfDeadRecordsByItself(t *testing.T) {
	t.Parallel()
	s := server(t)
	o := options(s.URL)
	st := open(t, o)
	x := sample(1, "ana", time.Now())
	if err := st.Create(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	ttl, err := s.Do(t.Context(), "TTL", "{"+o.Prefix+"}:r:"+x.Key.String())
	var seconds int
	if _, serr := fmt.Sscanf(ttl, ":%d", &seconds); err != nil || serr != nil || seconds < 8*3600 || seconds > 8*3600+600 {
		t.Errorf("the record lives for %s s (error %v), want 8 to 8⅙ hours", ttl, err)
	}
}

func TestRevocationWaitsForAReplica(t *testing.T) {
	t.Parallel()
	master, err := redistest.TCP("--repl-diskless-sync-delay", "0")
	started(t, master, err)
	replica := replicaOf(t, master)
	o := options(master.URL)
	o.ReplicaWait = time.Second
	st := open(t, o)
	inStep(t, master)
	first, second := sample(1, "ana", time.Now()), sample(2, "ana", time.Now())
	for _, s := range []*session.Session{first, second} {
		if err := st.Create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	// Again where the replica took longer than the store waits for it.
	storetest.Eventually(t, "the replica confirms", func() bool { return st.Delete(t.Context(), first.Key) == nil })
	if left, err := replica.Do(t.Context(), "EXISTS", "{"+o.Prefix+"}:r:"+first.Key.String()); left != ":0" || err != nil {
		t.Errorf("the replica still has what was deleted: %s, %v", left, err)
	}
	if err := replica.Pause(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	err = st.Delete(t.Context(), second.Key)
	storetest.WantErr(t, err, session.ErrUnavailable)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v, want about %v", took, o.ReplicaWait)
	}
	// Said again, it is still not confirmed, though nothing is left to delete.
	storetest.WantErr(t, st.Delete(t.Context(), second.Key), session.ErrUnavailable)
	_, err = st.Get(t.Context(), second.Key)
	storetest.WantErr(t, err, session.ErrNotFound)
	if err := replica.Continue(); err != nil {
		t.Fatal(err)
	}
	storetest.Eventually(t, "the replica, back, confirms", func() bool { return st.Delete(t.Context(), second.Key) == nil })
}

func TestClockSkewIsSeen(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{0, -time.Hour, time.Hour} {
		o := options(common.URL)
		o.Clock = func() time.Time { return time.Now().Add(off) }
		skew, err := open(t, o).ClockSkew(t.Context())
		if err != nil || (skew+off).Abs() > 10*time.Second {
			t.Errorf("skew %v, error %v; want about %v", skew, err, -off)
		}
	}
}

func TestPasswordIsUsedAndNotShown(t *testing.T) {
	t.Parallel()
	s := server(t, "--requirepass", "h!dden")
	with := func(user string) redisstore.Options {
		return options(strings.Replace(s.URL, "unix://", "unix://"+user+"@", 1))
	}
	st := open(t, with(":h%21dden"))
	if err := st.Create(t.Context(), sample(1, "ana", time.Now())); err != nil {
		t.Fatal(err)
	}
	storetest.Eventually(t, "the feed is up", func() bool { return !st.FreshUntil().IsZero() })
	for _, wrong := range []string{":wr0ng", "nobody:wr0ng"} {
		_, err := open(t, with(wrong)).CountLive(t.Context(), base)
		storetest.WantErr(t, err, session.ErrUnavailable)
		if err != nil && strings.Contains(err.Error(), "wr0ng") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

func TestCallsEndInTimeWhenTheServerHangs(t *testing.T) {
	t.Parallel()
	s := server(t)
	o := options(s.URL)
	o.Timeout, o.ReplicaWait = 50*time.Millisecond, 50*time.Millisecond
	st := open(t, o)
	x := sample(1, "ana", time.Now())
	if err := open(t, options(s.URL)).Create(t.Context(), x); err != nil { // which may take longer on a busy machine
		t.Fatal(err)
	}
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Continue() }()
	for name, call := range map[string]func(context.Context) error{
		"Get":        func(c context.Context) error { _, err := st.Get(c, x.Key); return err },
		"Create":     func(c context.Context) error { return st.Create(c, sample(2, "ana", time.Now())) },
		"Delete":     func(c context.Context) error { return st.Delete(c, x.Key) },
		"DeleteUser": func(c context.Context) error { _, err := st.DeleteUser(c, "ana"); return err },
		"List":       func(c context.Context) error { _, err := st.List(c, session.Query{}); return err },
		"ClockSkew":  func(c context.Context) error { _, err := st.ClockSkew(c); return err },
	} {
		began := time.Now()
		storetest.WantErr(t, call(t.Context()), session.ErrUnavailable)
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}

func TestOptionsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]redisstore.Options{
		"NoURL":       {},
		"Prefix":      {URL: common.URL, Prefix: "a{b"},
		"Timeout":     {URL: common.URL, Timeout: time.Minute},
		"ReplicaWait": {URL: common.URL, ReplicaWait: time.Minute},
	} {
		if _, err := redisstore.Open(o); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
