package dev

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// desk is a backend whose callers say who they are in a header: "ana admin,user"
// is believed as plain headers are, "ana admin,user signed" as the assertion is.
type desk struct {
	t *testing.T
	h http.Handler
}

func newDesk(t *testing.T) *desk {
	said := func(signed bool) believe {
		return func(r *http.Request) (identity, int) {
			words := strings.Fields(r.Header.Get("Test-Who"))
			if len(words) < 2 || signed && len(words) < 3 {
				return identity{}, http.StatusUnauthorized
			}
			id := identity{User: words[0], Groups: strings.Split(words[1], ",")}
			for _, g := range id.Groups {
				if !strings.HasPrefix(g, "group:") {
					id.Roles = append(id.Roles, g)
				}
			}
			for i := range id.Groups {
				id.Groups[i] = strings.TrimPrefix(id.Groups[i], "group:")
			}
			return id, http.StatusOK
		}
	}
	return &desk{t, newBackend().handler(said(false), said(true))}
}

func (d *desk) do(who, method, path, body string, want int, texts ...string) {
	d.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Test-Who", who)
	w := httptest.NewRecorder()
	d.h.ServeHTTP(w, r)
	if w.Code != want {
		d.t.Errorf("%s: %s %s: %d, want %d\n%s", who, method, path, w.Code, want, w.Body)
	}
	wantText(d.t, w.Body.String(), texts...)
}

const (
	root = "root admin signed"
	ana  = "ana user signed"
	ben  = "ben neosc"
)

func TestAdministratorsKeepAFewWorkspaces(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.do(root, "GET", "/api/workspaces", "", 200, "Ubuntu desktop", "Browser")
	d.do(root, "POST", "/api/workspaces", `{"name":"Mine","type":"ubuntu"}`, 201, `"id": "3"`, `"owner": ""`)
	d.do(root, "PUT", "/api/workspaces/3", `{"name":"Ours","type":"debian"}`, 200, `"name": "Ours"`, `"type": "debian"`)
	d.do(ana, "GET", "/api/workspaces/3", "", 200, "Ours")
	d.do(root, "PUT", "/api/workspaces/4", `{"name":"None"}`, 404)
	d.do(root, "DELETE", "/api/workspaces/3", "", 204)
	d.do(root, "DELETE", "/api/workspaces/3", "", 404)
	d.do(root, "GET", "/api/workspaces/3", "", 404)
	for _, method := range []string{"POST /api/workspaces", "PUT /api/workspaces/1"} {
		method, path, _ := strings.Cut(method, " ")
		d.do(root, method, path, `{"name":""}`, 400)
		d.do(root, method, path, `not json`, 400)
		d.do(root, method, path, `{"name":"`+strings.Repeat("x", maxBody)+`"}`, 413)
	}
	for i := 2; i < maxWorkspaces; i++ {
		d.do(root, "POST", "/api/workspaces", fmt.Sprintf(`{"name":"n%d"}`, i), 201)
	}
	d.do(root, "POST", "/api/workspaces", `{"name":"one more"}`, 409)
	d.do(root, "POST", "/api/workspaces/reset", "", 200, "Ubuntu desktop")
	d.do(root, "GET", "/api/workspaces/5", "", 404)
}

func TestWorkspacesAreChangedByAdministratorsAloneAndByTheAssertion(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for who, want := range map[string]int{
		"root admin": 401, "": 401, // plain headers are no administrator's word
		ana: 403, "cat neosc signed": 403, "dan administrators,user signed": 403,
	} {
		for _, c := range []string{"POST /api/workspaces", "PUT /api/workspaces/1", "DELETE /api/workspaces/1", "POST /api/workspaces/reset"} {
			method, path, _ := strings.Cut(c, " ")
			d.do(who, method, path, `{"name":"Theirs"}`, want)
		}
	}
	d.do(ana, "GET", "/api/workspaces", "", 200, "Ubuntu desktop")
}

// A group may be called "admin": it is no role.
func TestAGroupNamedAdminIsNoAdministrator(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	mallory := "mallory user,group:admin signed"
	d.do(mallory, "POST", "/api/workspaces", `{"name":"Mine","type":"ubuntu"}`, 403, "admin access required")
	d.do(mallory, "DELETE", "/api/workspaces/1", "", 403)
	d.do(mallory, "POST", "/api/workspaces/reset", "", 403)
	d.do(root, "POST", "/api/workspaces/reset", "", 200)
}

func TestPeopleLaunchAndStopTheirOwn(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.do(ana, "POST", "/api/workspaces/1/launch", "", 200, `"state": "running"`, `"owner": "ana"`, `"session": "ws-`)
	d.do(ana, "POST", "/api/workspaces/1/launch", "", 200)
	d.do(ben, "POST", "/api/workspaces/1/launch", "", 409)
	d.do(ben, "POST", "/api/workspaces/1/stop", "", 403)
	d.do(ben, "POST", "/api/workspaces/1/disconnect", "", 403)
	d.do(ana, "POST", "/api/workspaces/1/disconnect", "", 200, `"state": "running"`, `"session": ""`)
	d.do(ana, "POST", "/api/workspaces/1/launch", "", 200, `"session": "ws-`)
	d.do(ana, "POST", "/api/workspaces/1/stop", "", 200, `"state": "stopped"`, `"owner": ""`)
	d.do(ana, "POST", "/api/workspaces/1/stop", "", 409)
	d.do(ben, "POST", "/api/workspaces/1/launch", "", 200, `"owner": "ben"`)
	d.do("root admin", "POST", "/api/workspaces/1/stop", "", 200)
	d.do(ana, "POST", "/api/workspaces/9/launch", "", 404)
	d.do("", "POST", "/api/workspaces/1/launch", "", 401)
}
