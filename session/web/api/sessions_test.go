package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/neosc/gate/session"
)

func TestPeopleSeeAndEndTheirOwnSessions(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	mine, other, ada := x.signIn("nora"), x.signIn("nora"), x.signIn("ada")
	got := read[[]SessionInfo](x.do("GET", "/api/sessions", mine.Access, ""), http.StatusOK)
	if len(got) != 2 || got[0].Current == got[1].Current || got[0].UserID != "usr_nora" || got[0].Kind != session.Bearer {
		t.Fatalf("%+v", got)
	}
	// What is another's is not there: neither seen, nor told apart from nothing.
	for _, key := range []string{ada.Session.Key.String(), strings.Repeat("0", 64), "x", strings.Repeat("G", 64)} {
		x.do("DELETE", "/api/sessions/"+key, mine.Access, "").reason(404, "not_found")
	}
	x.do("GET", "/api/sessions?user=usr_ada", mine.Access, "").reason(403, "role_required")
	x.do("GET", "/api/sessions?all=true", mine.Access, "").reason(403, "role_required")
	x.do("DELETE", "/api/sessions?user=usr_ada", mine.Access, "").reason(403, "role_required")
	read[[]SessionInfo](x.do("GET", "/api/sessions?user=usr_nora", mine.Access, ""), http.StatusOK)
	x.do("DELETE", "/api/sessions/"+other.Session.Key.String(), mine.Access, "").status(http.StatusNoContent)
	x.do("GET", "/api/auth/me", other.Access, "").reason(401, "unauthenticated")
	x.do("GET", "/api/auth/me", ada.Access, "").status(http.StatusOK)
	if kept := x.trail.actions(); kept[len(kept)-1] != "token_revoked success usr_nora by usr_nora" {
		t.Errorf("the trail: %q", kept)
	}
	x.do("DELETE", "/api/sessions/"+mine.Session.Key.String(), mine.Access, "").status(http.StatusNoContent)
	x.do("GET", "/api/auth/me", mine.Access, "").reason(401, "unauthenticated")
}

func TestAllOtherSessionsEndAtOnce(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	mine, ada := x.signIn("nora"), x.signIn("ada")
	for range 3 {
		x.signIn("nora")
	}
	for _, target := range []string{"/api/sessions", "/api/sessions?others=false", "/api/sessions?others=true&user=usr_nora", "/api/sessions?user="} {
		x.do("DELETE", target, mine.Access, "").reason(400, "request_invalid")
	}
	if got := read[Ended](x.do("DELETE", "/api/sessions?others=true", mine.Access, ""), http.StatusOK); got.Sessions != 3 {
		t.Errorf("%+v", got)
	}
	if got := read[[]SessionInfo](x.do("GET", "/api/sessions", mine.Access, ""), http.StatusOK); len(got) != 1 || !got[0].Current {
		t.Errorf("%+v", got)
	}
	x.do("GET", "/api/auth/me", ada.Access, "").status(http.StatusOK)
}

func TestAdministratorsSeeAndEndTheSessionsOfOthers(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	nora, ada := x.signIn("nora"), x.signIn("ada")
	x.signIn("nora")
	if got := read[[]SessionInfo](x.do("GET", "/api/sessions", ada.Access, ""), http.StatusOK); len(got) != 1 {
		t.Errorf("own: %+v", got)
	}
	if got := read[[]SessionInfo](x.do("GET", "/api/sessions?user=usr_nora", ada.Access, ""), http.StatusOK); len(got) != 2 {
		t.Errorf("nora's: %+v", got)
	}
	if got := read[[]SessionInfo](x.do("GET", "/api/sessions?all=true", ada.Access, ""), http.StatusOK); len(got) != 3 {
		t.Errorf("all: %+v", got)
	}
	for _, target := range []string{"?all=yes", "?all=true&user=x", "?user=", "?after=x", "?after=eA"} {
		x.do("GET", "/api/sessions"+target, ada.Access, "").reason(400, "request_invalid")
	}
	x.do("DELETE", "/api/sessions/"+nora.Session.Key.String(), ada.Access, "").status(http.StatusNoContent)
	if kept := x.trail.actions(); kept[len(kept)-1] != "token_revoked success usr_nora by usr_ada" {
		t.Errorf("the trail: %q", kept)
	}
	if got := read[Ended](x.do("DELETE", "/api/sessions?user=usr_nora", ada.Access, ""), http.StatusOK); got.Sessions != 1 {
		t.Errorf("%+v", got)
	}
}

// TestPagesOfSessionsHaveEachOnce: however many began at the same millisecond, up
// to as many as a cursor names.
func TestPagesOfSessionsHaveEachOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		x := newHouse(t)
		token := x.token("ada")
		want := 1
		for _, n := range rapid.SliceOfN(rapid.IntRange(1, maxShown), 0, 5).Draw(rt, "at once") {
			x.advance(time.Millisecond)
			for range n {
				x.signIn("nora")
			}
			want += n
		}
		limit := rapid.IntRange(1, 10).Draw(rt, "limit")
		var seen []string
		for target := fmt.Sprintf("/api/sessions?all=true&limit=%d", limit); target != ""; {
			a := x.do("GET", target, token, "")
			for _, s := range read[[]SessionInfo](a, http.StatusOK) {
				seen = append(seen, s.ID)
			}
			target = ""
			if link := a.Header().Get("Link"); link != "" {
				u, err := url.Parse(strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`))
				if err != nil {
					rt.Fatal(err)
				}
				target = u.String()
			}
			if len(seen) > want {
				rt.Fatalf("%d of %d sessions were seen", len(seen), want)
			}
		}
		slices.Sort(seen)
		if n := len(slices.Compact(seen)); n != want {
			rt.Fatalf("%d sessions were seen, want %d", n, want)
		}
	})
}
