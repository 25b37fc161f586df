package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

func TestGrantsAreTheSameOnEveryDatabase(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, on database) {
		for name, f := range map[string]func(*testing.T, database){
			"FromRequestToCleanUp": fromRequestToCleanUp, "AnAdminKeepsAllElse": anAdminKeepsAllElse, "Approval": approval, "NobodyDecides": nobodyDecides,
			"Caps": caps, "ManyAtOnce": manyAtOnce, "Extension": extension, "StepsInOrder": stepsInOrder, "StartThatFails": startThatFails,
			"EndThatFails": endThatFails, "RevokedWhileStarting": revokedWhileStarting, "NoTrailNoMove": noTrailNoMove, "Listing": listing, "Orphans": orphans,
			"Workspaces": workspaces, "TwoGatesOneWinner": oneWinner, "SignInWhileLive": signInWhileLive, "Forgotten": forgotten, "AGateThatDied": aGateThatDied,
			"KilledOnceItIsTold": killedOnceItIsTold, "WhoLeaves": whoLeaves, "LeavingAtOnce": leavingAtOnce,
		} {
			t.Run(name, func(t *testing.T) { t.Parallel(); f(t, on) })
		}
	})
}

func fromRequestToCleanUp(t *testing.T, on database) {
	h := newHouse(t, on)
	h.runs(h.Service)
	s, other := h.signIn("nora"), h.signIn("nora")
	ctx := session.WithOrigin(t.Context(), session.Origin{ClientIP: "203.0.113.9"})
	g, err := h.Request(ctx, s, session.DemoRequest{WorkspaceType: "desktop", Purpose: "to see", Duration: time.Second})
	if err != nil || g.Status != session.GrantActive || g.ExpiresAt.Sub(g.StartedAt) != time.Second || g.ClientAddr != "203.0.113.9" || g.OrganizationID != "org_acme" {
		t.Fatalf("%+v, error %v", g, err)
	}
	if !strings.HasPrefix(g.ID, "demo-") || !strings.HasPrefix(g.Role, "demo-user-") {
		t.Errorf("id %s, role %s", g.ID, g.Role)
	}
	for _, x := range []*session.Session{s, other} {
		id := h.now(x)
		if id.Claims[session.ClaimDemoSession] != g.ID || id.Claims[session.ClaimDemoWorkspace] != "desktop" || id.Claims[session.ClaimDemoDuration] != json.Number("1") ||
			id.Claims[session.ClaimDemoExpires] != g.ExpiresAt.Format(time.RFC3339Nano) || !slices.Equal(id.Roles, []string{"demo-user", g.Role, "user"}) {
			t.Errorf("%+v", id)
		}
	}
	done := h.cleaned(g.ID)
	if done.Status != session.GrantExpired || !done.EndedAt.Equal(g.ExpiresAt) {
		t.Errorf("%+v", done)
	}
	for _, x := range []*session.Session{s, other} {
		if id := h.now(x); len(id.Claims) != 2 || !slices.Equal(id.Roles, []string{"user"}) {
			t.Errorf("%+v", id)
		}
	}
	if got := h.trail.of(g.ID); !slices.Equal(got, []string{"demo_requested nora", "demo_started nora", "demo_expired ", "demo_cleaned "}) {
		t.Errorf("the trail: %q", got)
	}
}

// anAdminKeepsAllElse: a role and claims of the same names that came from
// elsewhere are there again afterwards, and what changed meanwhile has changed.
func anAdminKeepsAllElse(t *testing.T, on database) {
	h := newHouse(t, on)
	h.runs(h.Service)
	s, _, err := h.sessions.Create(t.Context(), session.Identity{
		Provider: "local", UserID: "ada", Email: "ada@example.com", EmailVerified: true, Roles: []string{"admin", "demo-user"},
		Claims: map[string]any{session.ClaimDemoSession: "demo-of-the-account", session.ClaimDemoWorkspace: "linux", "x": "y"},
	}, session.Browser, 0)
	if err != nil {
		t.Fatal(err)
	}
	before := h.now(s)
	g := h.ask(s, session.DemoRequest{})
	if id := h.now(s); id.Claims[session.ClaimDemoSession] != g.ID || !slices.Equal(id.Roles, []string{"admin", "demo-user", g.Role}) {
		t.Errorf("%+v", id)
	}
	// Whoever changes the identity meanwhile sees none of it.
	_, err = h.sessions.UpdateUser(t.Context(), "ada", func(id *session.Identity) error {
		if !slices.Equal(id.Roles, before.Roles) || id.Claims[session.ClaimDemoSession] != "demo-of-the-account" {
			t.Errorf("%+v", id)
		}
		id.Roles, id.Name = append(id.Roles, "neosc"), "Ada"
		return nil
	})
	if id := h.now(s); err != nil || id.Claims[session.ClaimDemoSession] != g.ID {
		t.Errorf("%+v, error %v", id, err)
	}
	if _, err := h.End(t.Context(), g.ID, session.Person{ID: "ada"}, "enough"); err != nil {
		t.Fatal(err)
	}
	id := h.now(s)
	if !slices.Equal(id.Roles, []string{"admin", "demo-user", "neosc"}) || len(id.Claims) != len(before.Claims) || id.Claims[session.ClaimDemoSession] != "demo-of-the-account" || id.Name != "Ada" {
		t.Errorf("%+v", id)
	}
}

func approval(t *testing.T, on database) {
	h := newHouse(t, on)
	s, ada := h.signIn("nora"), session.Person{ID: "ada", Email: "ada@example.com"}
	g := h.ask(s, session.DemoRequest{WorkspaceType: "lab"})
	if g.Status != session.GrantPending || len(h.now(s).Roles) != 1 {
		t.Fatalf("%+v", g)
	}
	if again := h.ask(s, session.DemoRequest{WorkspaceType: "lab"}); again.ID != g.ID || !again.Again || g.Again {
		t.Errorf("a second one: %+v", again)
	}
	_, err := h.Extend(t.Context(), g.ID, time.Minute, ada, "")
	wantErr(t, err, session.ErrDemoState)
	for _, agree := range []bool{true, false} {
		_, err = h.Decide(t.Context(), g.ID, agree, ada, " ")
		wantErr(t, err, session.ErrBadDemo) // it has to be said why
	}
	got, err := h.Decide(t.Context(), g.ID, true, ada, "welcome")
	if err != nil || got.Status != session.GrantActive || got.DecidedBy != "ada@example.com" || got.Reason != "welcome" || len(h.now(s).Roles) != 3 {
		t.Errorf("%+v, error %v", got, err)
	}
	for _, agree := range []bool{true, false} {
		_, err := h.Decide(t.Context(), g.ID, agree, ada, "again")
		wantErr(t, err, session.ErrDemoState)
	}
	two := h.signIn("two")
	no := h.ask(two, session.DemoRequest{WorkspaceType: "lab"})
	no, err = h.Decide(t.Context(), no.ID, false, ada, "full")
	if err != nil || no.Status != session.GrantRefused || no.CleanedAt.IsZero() || no.EndedAt.IsZero() || len(h.now(two).Roles) != 1 {
		t.Errorf("%+v, error %v", no, err)
	}
	if got := h.trail.of(no.ID); !slices.Equal(got, []string{"demo_requested two", "demo_refused ada"}) {
		t.Errorf("the trail: %q", got)
	}
	_, err = h.Decide(t.Context(), "demo-1-0000000000000000", true, ada, "")
	wantErr(t, err, session.ErrNoDemo)
}

func nobodyDecides(t *testing.T, on database) {
	h := newHouse(t, on, func(_ *house, o *Options) { o.Pending = time.Millisecond })
	h.runs(h.Service)
	g := h.is(h.ask(h.signIn("nora"), session.DemoRequest{WorkspaceType: "lab"}).ID, session.GrantRefused)
	if g.CleanedAt.IsZero() || g.Reason == "" {
		t.Errorf("%+v", g)
	}
}

func caps(t *testing.T, on database) {
	for name, c := range map[string]Caps{"user": {User: 1}, "organization": {Organization: 1}, "address": {Address: 1}, "all": {All: 1}} {
		h := newHouse(t, on, func(_ *house, o *Options) { o.Caps = c })
		s := h.signIn("nora")
		ctx := session.WithOrigin(t.Context(), session.Origin{ClientIP: "203.0.113.9"})
		if _, err := h.Request(ctx, s, session.DemoRequest{WorkspaceType: "desktop"}); err != nil {
			t.Fatal(err)
		}
		_, err := h.Request(ctx, s, session.DemoRequest{WorkspaceType: "lab"})
		full, ok := errors.AsType[*session.DemoCapError](err)
		if !ok || full.Cap != name || full.RetryAfter <= 0 || full.RetryAfter > 30*time.Minute {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Whoever has one IPv6 address has 2^64 of them.
	v6 := newHouse(t, on, func(_ *house, o *Options) { o.Caps = Caps{Address: 1} })
	for i, addr := range []string{"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"} {
		_, err := v6.Request(session.WithOrigin(t.Context(), session.Origin{ClientIP: addr}), v6.signIn(fmt.Sprint("six", i)), session.DemoRequest{WorkspaceType: "desktop"})
		if _, full := errors.AsType[*session.DemoCapError](err); full != (i == 1) || err != nil && !full {
			t.Errorf("%s: %v", addr, err)
		}
	}
	h := newHouse(t, on)
	for _, q := range []session.DemoRequest{
		{WorkspaceType: "castle"}, {WorkspaceType: "desktop", Duration: 31 * time.Minute}, {WorkspaceType: "desktop", Duration: -1},
		{WorkspaceType: "desktop", Purpose: strings.Repeat("é", 501)}, {WorkspaceType: "desktop", Purpose: "\x00"},
	} {
		_, err := h.Request(t.Context(), h.signIn("nora"), q)
		wantErr(t, err, session.ErrBadDemo)
	}
	if g := h.ask(h.signIn("nora"), session.DemoRequest{Purpose: " " + strings.Repeat("é", 500)}); g.Purpose != strings.Repeat("é", 500) {
		t.Errorf("500 characters were kept as %q", g.Purpose)
	}
}

// manyAtOnce has more ask at once than may.
func manyAtOnce(t *testing.T, on database) {
	three := func(_ *house, o *Options) { o.Caps.All = 3 }
	h := newHouse(t, on, three)
	gates := []*Service{h.Service, h.another(three)}
	var all sync.WaitGroup
	var mu sync.Mutex
	ids, full := map[string]bool{}, 0
	for i, user := range []string{"a", "a", "a", "b", "c", "d", "e", "f"} {
		s := h.signIn(user)
		all.Go(func() {
			g, err := gates[i%2].Request(context.Background(), s, session.DemoRequest{WorkspaceType: "desktop"})
			mu.Lock()
			defer mu.Unlock()
			if _, ok := errors.AsType[*session.DemoCapError](err); ok {
				full++
			} else if err != nil {
				t.Error(err)
			} else {
				ids[g.ID] = true
			}
		})
	}
	all.Wait()
	if len(ids) != 3 || full == 0 {
		t.Errorf("%d demo sessions, want 3; %d refused", len(ids), full)
	}
}

func extension(t *testing.T, on database) {
	h := newHouse(t, on)
	s, ada := h.signIn("nora"), session.Person{ID: "ada"}
	g := h.ask(s, session.DemoRequest{})
	longer, err := h.Extend(t.Context(), g.ID, 4*time.Minute, ada, "a talk")
	if err != nil || longer.ExpiresAt.Sub(g.ExpiresAt) != 4*time.Minute || h.now(s).Claims[session.ClaimDemoExpires] != longer.ExpiresAt.Format(time.RFC3339Nano) ||
		h.now(s).Claims[session.ClaimDemoDuration] != json.Number("2040") {
		t.Errorf("%+v, error %v", longer, err)
	}
	for _, by := range []time.Duration{7 * time.Minute, 0, -time.Minute} {
		_, err = h.Extend(t.Context(), g.ID, by, ada, "")
		wantErr(t, err, session.ErrBadDemo)
	}
	if _, err = h.Extend(t.Context(), g.ID, 6*time.Minute, ada, ""); err != nil {
		t.Error(err)
	}
	if _, err := h.End(t.Context(), g.ID, ada, ""); err != nil {
		t.Fatal(err)
	}
	_, err = h.Extend(t.Context(), g.ID, time.Second, ada, "")
	wantErr(t, err, session.ErrDemoState)
	if again, err := h.End(t.Context(), g.ID, ada, "twice"); err != nil || again.Reason != "" {
		t.Errorf("%+v, error %v", again, err)
	}
	if got := h.trail.of(g.ID); !slices.Equal(got, []string{"demo_requested nora", "demo_started nora", "demo_extended ada", "demo_extended ada", "demo_revoked ada"}) {
		t.Errorf("the trail: %q", got)
	}
}

// noTrailNoMove: a move whose event cannot be kept is not made.
func noTrailNoMove(t *testing.T, on database) {
	h := newHouse(t, on)
	h.runs(h.Service)
	s, by := h.signIn("nora"), session.Person{ID: "nora"}
	pending := h.ask(s, session.DemoRequest{WorkspaceType: "lab"})
	g := h.ask(s, session.DemoRequest{Duration: 3 * time.Second}) // which is long enough for the next line
	h.trail.breaks(errors.New("disk on fire"))
	_, err := h.End(t.Context(), g.ID, by, "")
	wantErr(t, err, session.ErrUnavailable)
	_, err = h.Decide(t.Context(), pending.ID, true, by, "why not")
	wantErr(t, err, session.ErrUnavailable)
	_, err = h.Request(t.Context(), h.signIn("two"), session.DemoRequest{WorkspaceType: "desktop"})
	wantErr(t, err, session.ErrUnavailable)
	time.Sleep(time.Until(g.ExpiresAt) + 300*time.Millisecond)
	if got, err := h.Grant(t.Context(), g.ID); err != nil || got.Status != session.GrantActive {
		t.Errorf("%+v, error %v", got, err)
	}
	if page, err := h.PageGrants(t.Context(), session.DemoQuery{}); err != nil || len(page.Grants) != 2 {
		t.Errorf("%+v, error %v", page, err)
	}
	h.trail.breaks(nil)
	if got := h.cleaned(g.ID); got.Status != session.GrantExpired {
		t.Errorf("%+v", got)
	}
}

func listing(t *testing.T, on database) {
	h := newHouse(t, on)
	var ids []string
	for _, user := range []string{"a", "b", "c", "d", "e"} {
		ids = append([]string{h.ask(h.signIn(user), session.DemoRequest{}).ID}, ids...)
	}
	if _, err := h.End(t.Context(), ids[0], session.Person{ID: "e"}, ""); err != nil {
		t.Fatal(err)
	}
	var got []string
	q := session.DemoQuery{Limit: 2}
	for {
		page, err := h.PageGrants(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range page.Grants {
			got = append(got, g.ID)
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	if !slices.Equal(got, ids) {
		t.Errorf("%q, want %q", got, ids)
	}
	for want, q := range map[int]session.DemoQuery{4: {Live: true}, 1: {UserID: "a"}, 0: {UserID: "x"}, -1: {After: "!"}, -2: {Limit: 1001}} {
		page, err := h.PageGrants(t.Context(), q)
		if (err != nil) != (want < 0) || err == nil && len(page.Grants) != want {
			t.Errorf("%+v: %d, error %v", q, len(page.Grants), err)
		}
	}
	if page, err := h.PageGrants(t.Context(), session.DemoQuery{Status: session.GrantRevoked}); err != nil || len(page.Grants) != 1 {
		t.Errorf("%+v, error %v", page, err)
	}
}

func workspaces(t *testing.T, on database) {
	h := newHouse(t, on)
	g := h.ask(h.signIn("a"), session.DemoRequest{})
	h.ask(h.signIn("b"), session.DemoRequest{})
	h.ask(h.signIn("c"), session.DemoRequest{WorkspaceType: "lab"})
	for want := range 2 {
		n, err := h.store.CountWorkspaces(t.Context(), []string{"org_acme", "org_other"})
		if err != nil || n["org_acme"] != 2-want || n["org_other"] != 0 {
			t.Errorf("%v, error %v", n, err)
		}
		if _, err := h.End(t.Context(), g.ID, session.Person{ID: "a"}, ""); err != nil {
			t.Fatal(err)
		}
	}
}

// signInWhileLive: sessions that begin during a grant carry it, and those that
// bring the claims of one that is over do not.
func signInWhileLive(t *testing.T, on database) {
	h := newHouse(t, on)
	s := h.signIn("nora")
	g := h.ask(s, session.DemoRequest{})
	later := h.signIn("nora")
	if later.Identity.Claims[session.ClaimDemoSession] != g.ID || !slices.Contains(later.Identity.Roles, session.RoleDemo) {
		t.Errorf("%+v", later.Identity)
	}
	if h.signIn("two").Identity.Claims[session.ClaimDemoSession] != nil {
		t.Error("somebody else's session carries it")
	}
	carried := h.now(s)
	if _, err := h.End(t.Context(), g.ID, session.Person{ID: "nora"}, ""); err != nil {
		t.Fatal(err)
	}
	if id := h.now(later); len(id.Roles) != 1 || len(id.Claims) != 2 {
		t.Errorf("%+v", id)
	}
	// As a step-up copies it, and as a provider says that was told of the grant.
	told := session.Identity{Provider: "zitadel", UserID: "nora", Email: "nora@example.com", Roles: []string{"user", g.Role},
		Claims: map[string]any{session.ClaimDemoSession: g.ID, session.ClaimDemoExpires: "2099-01-01T00:00:00Z"}}
	for _, id := range []session.Identity{carried, told} {
		late, _, err := h.sessions.Create(t.Context(), id, session.Browser, 0)
		if err != nil || late.Identity.Claims[session.ClaimDemoSession] != nil || late.Identity.Claims[session.ClaimDemoExpires] != nil || !slices.Equal(late.Identity.Roles, []string{"user"}) {
			t.Errorf("%+v, error %v", late.Identity, err)
		}
	}
}

func forgotten(t *testing.T, on database) {
	h := newHouse(t, on, func(_ *house, o *Options) { o.Keep = time.Millisecond })
	h.runs(h.Service)
	g := h.ask(h.signIn("nora"), session.DemoRequest{})
	if _, err := h.End(t.Context(), g.ID, session.Person{ID: "nora"}, ""); err != nil {
		t.Fatal(err)
	}
	h.cleaned(g.ID)
	end := time.Now().Add(patience)
	for {
		err := h.Sweep(t.Context())
		if _, gone := h.Grant(t.Context(), g.ID); errors.Is(gone, session.ErrNoDemo) {
			return
		}
		if err != nil || time.Now().After(end) {
			t.Fatalf("it is still there, error %v", err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// TestWhoOnlyRegisteredGetsNoDemo: an account is there once its email is verified;
// the session of a registration is anybody's, for any address.
func TestWhoOnlyRegisteredGetsNoDemo(t *testing.T) {
	t.Parallel()
	h := newHouse(t, onSQLite)
	s := h.signIn("nora")
	s.Identity.EmailVerified, s.Identity.Roles = false, nil
	_, err := h.Request(t.Context(), s, session.DemoRequest{WorkspaceType: "desktop"})
	if wantErr(t, err, session.ErrBadDemo); !strings.Contains(err.Error(), "not verified") {
		t.Error(err)
	}
	s.Identity.Provider = "zitadel" // who proves people by other means than mail
	if _, err := h.Request(t.Context(), s, session.DemoRequest{WorkspaceType: "desktop"}); err != nil {
		t.Error(err)
	}
}
