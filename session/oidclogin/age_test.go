package oidclogin

import (
	"net/url"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

func TestHowLongAgoAPersonMayHaveProvedWhoTheyAre(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	for _, c := range []struct {
		name   string
		maxAge time.Duration
		claim  any // nil for none
		want   session.LoginReason
	}{
		{"JustNow", time.Hour, at(0), ""},
		{"AtTheLimit", time.Hour, at(-time.Hour), ""},
		{"AtTheLimitByAClockThatIsOff", time.Hour, at(-time.Hour - time.Minute), ""},
		{"TooLongAgo", time.Hour, at(-time.Hour - time.Minute - time.Second), session.LoginDenied},
		{"Yesterday", time.Hour, at(-24 * time.Hour), session.LoginDenied},
		{"NotSaid", time.Hour, nil, session.LoginReply},
		{"Text", time.Hour, "1772712000", session.LoginReply},
		{"Null", time.Hour, 0, session.LoginReply},
		{"BeforeTime", time.Hour, -1, session.LoginReply},
		{"Endless", time.Hour, 1e300, session.LoginReply},
		{"AheadByAClockThatIsOff", time.Hour, at(time.Minute), ""},
		{"Ahead", time.Hour, at(time.Minute + time.Second), session.LoginClock},
		{"NotAskedAndLongAgo", 0, at(-720 * time.Hour), ""},
		{"NotAskedAndNotSaid", 0, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(o *Options) { o.Providers[0].MaxAge = c.maxAge })
			if c.claim != nil {
				r.idp.claims["auth_time"] = c.claim
			}
			q := r.start(t, "one")
			if got, want := q.Get("max_age"), map[time.Duration]string{time.Hour: "3600"}[c.maxAge]; got != want {
				t.Errorf("max_age %q was asked for, want %q", got, want)
			}
			l, err := r.finish(t.Context(), "one", url.Values{"code": {"c"}, "state": {q.Get("state")}})
			if c.want != "" {
				if l != nil {
					t.Error("it opened a session")
				}
				wantReason(t, err, c.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			// An instant that is still to come is none at which somebody was seen.
			want := noon
			if seen, ok := c.claim.(int64); ok && seen < noon.Unix() {
				want = time.Unix(seen, 0)
			}
			if got := l.Session.Identity.AuthenticatedAt; !got.Equal(want) {
				t.Errorf("authenticated at %s, want %s", got, want)
			}
		})
	}
}

// A6: the ID token of one sign-in is none of the next.
func TestANonceOfBeforeOpensNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	if _, err := r.signIn(t); err != nil {
		t.Fatal(err)
	}
	used := r.idp.claims["nonce"]
	q := r.start(t, "one")
	if q.Get("nonce") == used {
		t.Fatal("two sign-ins have one nonce")
	}
	r.idp.claims["nonce"] = used
	l, err := r.finish(t.Context(), "one", url.Values{"code": {"c2"}, "state": {q.Get("state")}})
	if l != nil {
		t.Error("it opened a session")
	}
	wantReason(t, err, session.LoginReply)
}
