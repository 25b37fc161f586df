package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/account"
)

// demos are grants in memory that begin at once, or wait for an administrator.
type demos struct {
	mu     sync.Mutex
	clock  func() time.Time
	grants []session.DemoGrant
	trail  *trail
	// fails is what all moves answer, lost what all look-ups do.
	fails, lost error
}

func (d *demos) Kinds() []session.WorkspaceKind {
	return []session.WorkspaceKind{
		{Name: "linux", Title: "Linux", Description: "Desktop and terminal", MaxDuration: 30 * time.Minute},
		{Name: "windows", Title: "Windows", MaxDuration: time.Hour, Approval: true},
	}
}

func (d *demos) keep(ctx context.Context, a session.Action, g session.DemoGrant) {
	_ = d.trail.Append(ctx, session.Event{Time: d.clock(), Action: a, Actor: session.OriginOf(ctx).Actor, User: session.Person{ID: g.UserID, Email: g.Email}, Outcome: session.OutcomeSuccess, Details: map[string]string{"reason": g.Reason}})
}

func (d *demos) Request(ctx context.Context, s *session.Session, r session.DemoRequest) (session.DemoGrant, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fails != nil {
		return session.DemoGrant{}, d.fails
	}
	i := slices.IndexFunc(d.Kinds(), func(k session.WorkspaceKind) bool { return k.Name == r.WorkspaceType })
	if i < 0 {
		return session.DemoGrant{}, fmt.Errorf("%w: there is no kind of workspace %q", session.ErrBadDemo, r.WorkspaceType)
	}
	k, now := d.Kinds()[i], d.clock()
	g := session.DemoGrant{
		ID: fmt.Sprintf("demo-%d-%d", now.Unix(), len(d.grants)), UserID: s.Identity.UserID, Email: s.Identity.Email, WorkspaceType: k.Name, Purpose: r.Purpose, MaxDuration: k.MaxDuration, RequestedAt: now,
		Status: session.GrantPending,
	}
	if !k.Approval {
		g.Status, g.StartedAt, g.ExpiresAt = session.GrantActive, now, now.Add(k.MaxDuration)
	}
	d.grants = append(d.grants, g)
	d.keep(ctx, session.ActionDemoRequested, g)
	return g, nil
}

func (d *demos) find(id string) (*session.DemoGrant, error) {
	for i := range d.grants {
		if d.grants[i].ID == id {
			return &d.grants[i], nil
		}
	}
	return nil, session.ErrNoDemo
}

func (d *demos) Grant(_ context.Context, id string) (session.DemoGrant, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g, err := d.find(id)
	if err = cmp.Or(d.lost, err); err != nil {
		return session.DemoGrant{}, err
	}
	return *g, nil
}

func (d *demos) PageGrants(_ context.Context, q session.DemoQuery) (session.DemoPage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var page session.DemoPage
	after := len(d.grants)
	if q.After != "" {
		n, err := strconv.Atoi(q.After)
		if err != nil {
			return page, fmt.Errorf("%w: after is none of a page's", session.ErrBadDemo)
		}
		after = n
	}
	for i := after - 1; i >= 0; i-- {
		g := d.grants[i]
		if q.UserID != "" && g.UserID != q.UserID || q.Status != "" && g.Status != q.Status || q.Live && g.Status.Ended() {
			continue
		}
		if len(page.Grants) == q.Limit {
			page.Next = strconv.Itoa(i + 1)
			break
		}
		page.Grants = append(page.Grants, g)
	}
	return page, d.lost
}

// move changes a grant that is in one of some states.
func (d *demos) move(ctx context.Context, id string, a session.Action, from []session.GrantStatus, change func(*session.DemoGrant)) (session.DemoGrant, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g, err := d.find(id)
	if err = cmp.Or(d.fails, err); err != nil {
		return session.DemoGrant{}, err
	}
	if !slices.Contains(from, g.Status) {
		return *g, session.ErrDemoState
	}
	change(g)
	d.keep(ctx, a, *g)
	return *g, nil
}

func (d *demos) Decide(ctx context.Context, id string, approve bool, by session.Person, reason string) (session.DemoGrant, error) {
	a := session.ActionDemoRefused
	if approve {
		a = session.ActionDemoApproved
	}
	return d.move(ctx, id, a, []session.GrantStatus{session.GrantPending}, func(g *session.DemoGrant) {
		g.Status, g.DecidedBy, g.Reason, g.EndedAt = session.GrantRefused, by.Email, reason, d.clock()
		if approve {
			g.Status, g.StartedAt, g.ExpiresAt, g.EndedAt = session.GrantActive, d.clock(), d.clock().Add(g.MaxDuration), time.Time{}
		}
	})
}

func (d *demos) End(ctx context.Context, id string, _ session.Person, reason string) (session.DemoGrant, error) {
	return d.move(ctx, id, session.ActionDemoRevoked, []session.GrantStatus{session.GrantPending, session.GrantStarting, session.GrantActive}, func(g *session.DemoGrant) {
		g.Status, g.Reason, g.EndedAt = session.GrantRevoked, reason, d.clock()
	})
}

func (d *demos) Extend(ctx context.Context, id string, by time.Duration, _ session.Person, reason string) (session.DemoGrant, error) {
	return d.move(ctx, id, session.ActionDemoExtended, []session.GrantStatus{session.GrantActive}, func(g *session.DemoGrant) {
		g.ExpiresAt, g.Reason = g.ExpiresAt.Add(by), reason
	})
}

// newDemoHouse is one with demos, an administrator and two visitors.
func newDemoHouse(t testing.TB) (*house, *demos) {
	t.Helper()
	d := &demos{}
	x := newHouse(t, func(o *Options, _ *account.ServiceOptions) {
		d.clock = o.Clock
		o.Demos, o.Workspace = d, func() string { return "https://workspace.portal.kappa4.com/" }
	})
	d.trail = x.trail
	x.add("admin@kappa4.com", "admin")
	x.add("marta@kappa4.com", "user")
	x.add("omar@kappa4.com", "user")
	return x, d
}

// ask asks for a demo and returns the path of its page.
func ask(t testing.TB, b *browser, kind, purpose string) string {
	t.Helper()
	a := b.send("/demo", "/demo", "type", kind, "purpose", purpose)
	path := strings.TrimPrefix(a.Header.Get("Location"), origin)
	if a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(path, "/demo/demo-") {
		t.Fatalf("asking is answered %s to %q:\n%s", a.Status, path, a.text)
	}
	return path
}

func TestStrangersSignInAndComeBackToTheDemoOfTheirLink(t *testing.T) {
	t.Parallel()
	x, _ := newDemoHouse(t)
	for path, back := range map[string]string{
		"/demo?type=linux": "%2Fdemo%3Ftype%3Dlinux", "/demo": "%2Fdemo", "/demo/demo-17-a": "%2Fdemo%2Fdemo-17-a", "/demo?type=linux&x=1": "", "/account": "",
	} {
		want := origin + "/oauth2/sign_in"
		if back != "" {
			want += "?rd=https%3A%2F%2Fgate.kappa4.com" + back
		}
		if a := x.stranger().get(path); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != want {
			t.Errorf("%s: %s to %s, want %s", path, a.Status, a.Header.Get("Location"), want)
		}
	}
}

func TestADemoIsAskedForCountsDownAndEnds(t *testing.T) {
	t.Parallel()
	x, d := newDemoHouse(t)
	marta := x.as("marta@kappa4.com")
	marta.get("/demo?type=windows").wants(t, 200, `value="windows" required checked`, "Desktop and terminal · 30 minutes", "an administrator has to agree", "A workspace of your own, for a while")
	marta.get("/demo?type=vax").wants(t, 200, "no workspace of that kind any more", `value="linux" required checked`)
	path := ask(t, marta, "linux", "Just <looking>")
	page := marta.get(path)
	page.wants(t, 200, "Your demo is running", "30 minutes left", `href="https://workspace.portal.kappa4.com/"`, `data-left="1800001"`, `<noscript><meta http-equiv="refresh" content="30"></noscript>`)
	if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'self'; connect-src 'self'") {
		t.Errorf("the countdown has the policy %s", csp)
	}
	marta.get("/demo").wants(t, 200, "Demos of yours", "30 minutes left", path)
	x.now.Add(int64(29*time.Minute + 40*time.Second))
	marta.get(path).wants(t, 200, "20 seconds left", `content="21"`)
	x.now.Add(int64(20 * time.Second))
	marta.get(path).wants(t, 200, "Your demo has ended", "Its 30 minutes were over at")
	d.grants[0].Status, d.grants[0].EndedAt = session.GrantExpired, x.clock()
	marta.get(path).wants(t, 200, "Its 30 minutes were over at", "Ask for another demo", "/demo?type=linux")
	marta.send("/demo", path, "do", "end").wants(t, 409, "has moved on meanwhile", "Your demo has ended")
}

func TestSomebodyEndsTheirOwnDemo(t *testing.T) {
	t.Parallel()
	x, d := newDemoHouse(t)
	marta := x.as("marta@kappa4.com")
	path := ask(t, marta, "linux", "")
	marta.send(path, path, "do", "more").wants(t, 403)
	if d.grants[0].Status != session.GrantActive {
		t.Fatal("a form without the word ended it")
	}
	marta.follow(marta.send(path, path, "do", "end"), "Your demo has ended", "before its time")
	if e := x.trail.last(t, session.ActionDemoRevoked); e.Actor.Email != "marta@kappa4.com" || e.User.Email != "marta@kappa4.com" {
		t.Errorf("the trail says of the end %+v", e)
	}
}

func TestOnlyOnesOwnDemoIsThere(t *testing.T) {
	t.Parallel()
	x, d := newDemoHouse(t)
	marta, omar, admin := x.as("marta@kappa4.com"), x.as("omar@kappa4.com"), x.as("admin@kappa4.com")
	path := ask(t, marta, "linux", "")
	ask(t, omar, "linux", "")
	for _, p := range []string{path, "/demo/demo-1-nobody", "/demo/demo-1%00", "/demo/x", "/demo/demo-" + strings.Repeat("1", 200)} {
		omar.get(p).wants(t, 404, "nothing at this address")
	}
	omar.send("/demo", path, "do", "end").wants(t, 404)
	admin.follow(admin.get(path), "Demo of marta@kappa4.com")
	// An administrator ends another's in the console, with a reason.
	admin.send("/demo", path, "do", "end").wants(t, 403)
	if d.grants[0].Status != session.GrantActive {
		t.Error("somebody else ended it")
	}
	id := strings.TrimPrefix(path, "/demo/")
	for _, p := range []string{"/admin/demos", "/admin/demos/all", "/admin/demos/" + id} {
		omar.get(p).wants(t, 403, "Your role does not open this page")
		if a := x.stranger().get(p); a.StatusCode != http.StatusSeeOther {
			t.Errorf("%s answers a stranger %s", p, a.Status)
		}
	}
	omar.send("/demo", "/admin/demos/"+id, "do", "end", "reason", "mine").wants(t, 403)
	admin.get("/admin/demos/demo-1-nobody").wants(t, 404)
	// Neither is one asked for, ended or changed by a form of another site, or by one without a token.
	foreign := func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }
	for who, paths := range map[*browser][]string{marta: {"/demo", path}, admin: {"/admin/demos/" + id}} {
		for _, p := range paths {
			form := map[string][]string{"csrf": {who.token("/demo")}, "do": {"end"}, "reason": {"x"}, "type": {"linux"}}
			who.do("POST", p, form, foreign).wants(t, 403)
			form["csrf"] = []string{"x"}
			who.do("POST", p, form).wants(t, 403)
		}
	}
	if len(d.grants) != 2 || d.grants[0].Status != session.GrantActive {
		t.Error("a form of another site did something")
	}
}

func TestWhatSpeaksAgainstADemoIsSaid(t *testing.T) {
	t.Parallel()
	x, d := newDemoHouse(t)
	marta := x.as("marta@kappa4.com")
	for _, c := range []struct {
		fails  error
		status int
		retry  string
		text   string
	}{
		{&session.DemoCapError{Cap: "user", RetryAfter: 90*time.Second + time.Millisecond}, 429, "91", "You have as many demos as one person may have at a time. The next place is free in 91 seconds at the latest."},
		{&session.DemoCapError{Cap: "organization"}, 429, "", "Your organization has as many demos as it may have at a time. Nothing was asked for; try again in a while."},
		{&session.DemoCapError{Cap: "address", RetryAfter: time.Hour}, 429, "3600", "from your network"},
		{&session.DemoCapError{Cap: "all"}, 429, "", "All workspaces for demos are taken at the moment."},
		{fmt.Errorf("%w: the kind <x> is no more", session.ErrBadDemo), 422, "", "Nothing has changed: the kind &lt;x&gt; is no more."},
		{errors.New("broken"), 503, "1", "Something failed on our side."},
		{fmt.Errorf("%w: store", session.ErrUnavailable), 503, "1", "fault is ours"},
	} {
		d.fails = c.fails
		a := marta.send("/demo", "/demo", "type", "windows", "purpose", "To see it")
		a.wants(t, c.status, c.text)
		if got := a.Header.Get("Retry-After"); got != c.retry {
			t.Errorf("%v: Retry-After %q, want %q", c.fails, got, c.retry)
		}
		if c.status < 500 {
			a.wants(t, c.status, "To see it", `value="windows" required checked`, `role="alert"`)
		}
	}
	d.fails = nil
	marta.send("/demo", "/demo", "type", "linux", "purpose", strings.Repeat("é", 501)).wants(t, 422, "500 characters at the most")
	marta.send("/demo", "/demo", "type", "vax").wants(t, 422, "no kind of workspace")
	path := ask(t, marta, "linux", strings.Repeat("é", 500))
	d.fails = errors.New("broken")
	marta.send(path, path, "do", "end").wants(t, 503)
	d.lost = fmt.Errorf("%w: store", session.ErrUnavailable)
	for _, p := range []string{"/demo", path} {
		marta.get(p).wants(t, 503)
	}
	admin := x.as("admin@kappa4.com")
	for _, p := range []string{"/admin/demos", "/admin/demos/all", "/admin/demos/demo-1-a"} {
		admin.get(p).wants(t, 503)
	}
}

func TestAdministratorsDecideEndAndExtendWithAReason(t *testing.T) {
	t.Parallel()
	x, d := newDemoHouse(t)
	marta, omar, admin := x.as("marta@kappa4.com"), x.as("omar@kappa4.com"), x.as("admin@kappa4.com")
	first, second, third := ask(t, marta, "windows", "A trial"), ask(t, omar, "windows", ""), ask(t, omar, "linux", "")
	marta.get(first).wants(t, 200, "Waiting for an administrator", "Take it back", `<noscript><meta http-equiv="refresh" content="3"></noscript>`)
	admin.get("/admin/demos").wants(t, 200, "Waiting for approval", "marta@kappa4.com", "“A trial”", "<dd>2</dd>", "<dd>3</dd>", "Approve 60 minutes", "30:00", `href="/admin/demos" aria-current="page"`)
	at := func(path string) string { return "/admin" + strings.Replace(path, "/demo/", "/demos/", 1) }
	for _, reason := range []string{"", " ", strings.Repeat("x", 301)} {
		admin.send("/admin/demos", at(first), "do", "approve", "reason", reason).wants(t, 422, "a reason is needed")
	}
	admin.follow(admin.send("/admin/demos", at(first), "do", "approve", "reason", "A customer"), "The demo is approved.")
	if e := x.trail.last(t, session.ActionDemoApproved); e.Actor.Email != "admin@kappa4.com" || e.Details["reason"] != "A customer" {
		t.Errorf("the trail says of the approval %+v", e)
	}
	marta.get(first).wants(t, 200, "Your demo is running", "Agreed to")
	admin.follow(admin.send(at(second), at(second), "do", "refuse", "reason", "No <Windows> left", "from", "grant"), "The demo is refused.", "Decided by", "No &lt;Windows&gt; left")
	omar.get(second).wants(t, 200, "An administrator did not agree", "No &lt;Windows&gt; left")
	admin.send("/admin/demos", at(second), "do", "end", "reason", "x").wants(t, 409, "moved on meanwhile")
	for _, minutes := range []string{"", "0", "-5", "1441", "9e9", "x"} {
		admin.send(at(third), at(third), "do", "extend", "reason", "x", "minutes", minutes).wants(t, 422, "by 1 to 1440 minutes")
	}
	admin.follow(admin.send(at(third), at(third), "do", "extend", "reason", "Good talk", "minutes", "15", "from", "grant"), "The demo lasts 15 minutes longer.", "45:00")
	admin.send("/admin/demos", at(third), "do", "vanish", "reason", "x").wants(t, 403)
	admin.follow(admin.send(at(third), at(third), "do", "end", "reason", "Closing time"), "The demo is ended.", "Ended by hand", "Closing time")
	x.now.Add(int64(overviewAge)) // what is counted is some seconds old at the most
	admin.get("/admin/demos").wants(t, 200, "0 by time, 1 by hand")
	omar.get(third).wants(t, 200, "It was ended at", "Closing time")
	for _, a := range []session.Action{session.ActionDemoRefused, session.ActionDemoExtended, session.ActionDemoRevoked} {
		if e := x.trail.last(t, a); e.Actor.Email != "admin@kappa4.com" || e.User.Email != "omar@kappa4.com" {
			t.Errorf("the trail says of %s %+v", a, e)
		}
	}
	d.fails = errors.New("broken")
	admin.send(at(first), at(first), "do", "end", "reason", "x").wants(t, 503)
}

func TestDemoGrantsArePagedThrough(t *testing.T) {
	t.Parallel()
	x, d := newDemoHouse(t)
	admin := x.as("admin@kappa4.com")
	for i := range 2*pageSize + 3 {
		status := session.GrantActive
		if i%2 == 1 {
			status = session.GrantExpired
		}
		d.grants = append(d.grants, session.DemoGrant{ID: fmt.Sprintf("demo-%d-p%02d", base.Unix(), i), Status: status, UserID: "usr_9", Email: fmt.Sprintf("p%02d@x.example", i), WorkspaceType: "linux",
			RequestedAt: base, StartedAt: base, ExpiresAt: base.Add(time.Hour), EndedAt: base.Add(time.Duration(i) * time.Second), MaxDuration: time.Hour})
	}
	for first, want := range map[string]int{"/admin/demos/all": 2*pageSize + 3, "/admin/demos/all?state=expired&user=usr_9": pageSize + 1, "/admin/demos/all?user=nobody": 0} {
		seen, next := map[string]bool{}, first
		for n := 0; next != "" && n < 5; n++ {
			page := admin.get(next)
			page.wants(t, 200)
			for _, part := range strings.Split(page.text, `<th scope="row"><a href="/admin/demos/`)[1:] {
				seen[part[:strings.IndexByte(part, '"')]] = true
			}
			next = ""
			if i := strings.Index(page.text, `>Older</a>`); i > 0 {
				from := strings.LastIndex(page.text[:i], `href="`) + len(`href="`)
				next = strings.ReplaceAll(page.text[from:from+strings.IndexByte(page.text[from:], '"')], "&amp;", "&")
			}
		}
		if len(seen) != want {
			t.Errorf("%s shows %d grants, want %d", first, len(seen), want)
		}
	}
	live := admin.get("/admin/demos")
	live.wants(t, 200, "Older", "p51@x.example")
	if n := strings.Count(live.text, "End it</button>"); n != pageSize {
		t.Errorf("%d live ones are on the first page, want %d", n, pageSize)
	}
	admin.get("/admin/demos/all?state=nonsense").wants(t, 200, "p52@x.example")
}

func TestWithoutDemosTheirPagesAreNotThere(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	x.add("admin@kappa4.com", "admin")
	b := x.as("admin@kappa4.com")
	for _, p := range []string{"/demo", "/demo/demo-1-a", "/admin/demos", "/admin/demos/all"} {
		b.get(p).wants(t, 404)
	}
}
