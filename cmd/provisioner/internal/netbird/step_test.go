package netbird_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/cmd/provisioner/internal/netbird"
	"github.com/neosc/gate/cmd/provisioner/internal/webhook"
	"github.com/neosc/gate/test/fakenetbird"
)

var noon = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

const id = "demo-1772712000-k3v9x2"

var grant = webhook.Grant{ID: id, WorkspaceType: "desktop", ExpiresAt: noon.Add(30 * time.Minute)}

func client(t *testing.T, base, token string) *netbird.Client {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return netbird.NewClient(u, token, tr)
}

func newStep(t *testing.T) (*fakenetbird.Server, *netbird.Step) {
	t.Helper()
	s := fakenetbird.Start(t)
	return s, netbird.NewStep(client(t, s.URL, fakenetbird.Token), fakenetbird.Group, func() time.Time { return noon })
}

func fine(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wants(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestEndTakesAwayKeysThenPeersOfThisGrantAlone(t *testing.T) {
	t.Parallel()
	s, step := newStep(t)
	fine(t, step.Start(t.Context(), grant))
	key, err := step.Enrol(t.Context(), grant)
	fine(t, err)
	if !s.Enrol(key, id) {
		t.Fatal("the key does not enrol")
	}
	s.AddPeer(id+"9", true)        // NetBird's own search finds it as well
	s.AddPeer(id, false)           // a person's machine that bears such a name
	s.AddPeer("anas-laptop", true) // in the group, and no grant's
	before := len(s.Calls())
	fine(t, step.End(t.Context(), id))
	wants(t, "peers", s.Peers(), id+"9", id, "anas-laptop")
	if len(s.Keys()) != 0 {
		t.Errorf("keys %+v", s.Keys())
	}
	wants(t, "calls", s.Calls()[before:], "GET setup-keys", "PUT setup-keys "+id, "DELETE setup-keys "+id, "GET peers", "DELETE peers "+id, "GET peers")
	fine(t, step.End(t.Context(), id))
	if s.Enrol(key, id) {
		t.Error("the key enrols still")
	}
}

func TestKeyIsForOneMachineAndEndsWithTheGrant(t *testing.T) {
	t.Parallel()
	s, step := newStep(t)
	for range 2 { // the first one's answer was lost
		_, err := step.Enrol(t.Context(), grant)
		fine(t, err)
	}
	keys := s.Keys()
	if len(keys) != 1 {
		t.Fatalf("%d keys, want the second alone", len(keys))
	}
	k := keys[0]
	if k.Name != id || k.Type != "one-off" || k.UsageLimit != 1 || !k.Ephemeral || k.ExpiresIn != 1800 || !slices.Equal(k.AutoGroups, []string{fakenetbird.GroupID}) {
		t.Errorf("key %+v", k)
	}
	late := grant
	late.ExpiresAt = noon.Add(-time.Hour)
	_, err := step.Enrol(t.Context(), late)
	fine(t, err)
	if n := s.Keys()[0].ExpiresIn; n != 1 {
		t.Errorf("a key of a grant that is over lasts %d s; 0 is for ever", n)
	}
}

func TestPeerThatComesBackIsPending(t *testing.T) {
	t.Parallel()
	s, step := newStep(t)
	s.AddPeer(id, true)
	s.ReenrolOnce()
	if err := step.End(t.Context(), id); !errors.Is(err, webhook.ErrPending) {
		t.Fatalf("got %v", err)
	}
	fine(t, step.End(t.Context(), id))
	wants(t, "peers", s.Peers())
}

func TestEndSurvivesWhatNetBirdAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		call    string
		status  int
		want    string        // "" is done
		refused bool          // else try again
		after   time.Duration // where it says when
	}{
		"PeerGone":        {"DELETE peers", 404, "", false, 0},
		"PeerOfAnother":   {"DELETE peers", 403, "an administrator", false, 0},
		"PeerIsARouter":   {"DELETE peers", 412, "is a router", false, time.Minute},
		"BadArgument":     {"DELETE peers", 422, "netbird answers 422", true, 0},
		"BadRequest":      {"GET peers", 400, "netbird answers 400", true, 0},
		"TooMany":         {"GET peers", 429, "netbird answers 429", false, 17 * time.Second},
		"Fails":           {"GET setup-keys", 500, "netbird answers 500", false, 0},
		"TokenIsNone":     {"GET setup-keys", 401, "an administrator", false, 0},
		"KeyGone":         {"PUT setup-keys", 404, "", false, 0},
		"KeyGoneSince":    {"DELETE setup-keys", 404, "", false, 0},
		"RevocationFails": {"PUT setup-keys", 500, "netbird answers 500", false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, step := newStep(t)
			_, err := step.Enrol(t.Context(), grant)
			fine(t, err)
			s.AddPeer(id, true)
			s.Fail(c.call, c.status, http.Header{"Retry-After": {"17"}})
			err = step.End(t.Context(), id)
			if c.status == 404 { // said to be gone, and listed still
				if err != nil && !errors.Is(err, webhook.ErrPending) {
					t.Fatalf("got %v", err)
				}
			} else if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, webhook.ErrRefused) != c.refused {
				t.Fatalf("got %v", err)
			}
			if r, ok := errors.AsType[*webhook.RetryError](err); ok != (c.after > 0) || ok && r.After != c.after {
				t.Errorf("come back: %v", err)
			}
			fine(t, step.End(t.Context(), id))
			wants(t, "peers", s.Peers())
		})
	}
}

func TestStartWantsTheNetworkToBeThere(t *testing.T) {
	t.Parallel()
	s := fakenetbird.Start(t)
	now := func() time.Time { return noon }
	err := netbird.NewStep(client(t, s.URL, fakenetbird.Token), "nobodys", now).Start(t.Context(), grant)
	if err == nil || !strings.Contains(err.Error(), `no group "nobodys"`) {
		t.Errorf("got %v", err)
	}
	err = netbird.NewStep(client(t, s.URL, "nbp_wrong"), fakenetbird.Group, now).Start(t.Context(), grant)
	if err == nil || !strings.Contains(err.Error(), "401") || strings.Contains(err.Error(), "nbp_") {
		t.Errorf("got %v", err)
	}
}

func TestGrantsAreThoseWithAPeerOrAKey(t *testing.T) {
	t.Parallel()
	s, step := newStep(t)
	_, err := step.Enrol(t.Context(), grant)
	fine(t, err)
	s.AddPeer("demo-1-orphan", true)
	s.AddPeer("demo-1-persons", false)
	s.AddPeer("anas-laptop", true)
	got, err := step.Grants(t.Context())
	fine(t, err)
	slices.Sort(got)
	wants(t, "grants", got, "demo-1-orphan", id)
}

// TestTokenGoesNowhereElse: a redirect is not followed, and an answer that holds
// a key is not quoted.
func TestTokenGoesNowhereElse(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it follows a redirect") }))
	defer elsewhere.Close()
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
	defer s.Close()
	step := netbird.NewStep(client(t, s.URL, fakenetbird.Token), fakenetbird.Group, func() time.Time { return noon })
	if err := step.Start(t.Context(), grant); err == nil || !strings.Contains(err.Error(), "307") {
		t.Errorf("got %v", err)
	}
	answer = func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`[{"id":"g-1","name":"SECRET`)) }
	if err := step.Start(t.Context(), grant); err == nil || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("got %v", err)
	}
}
