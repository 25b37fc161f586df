package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// elsewhere are the addresses of the document that session/web answers.
var elsewhere = []string{"GET /api/audit-logs", "POST /api/auth/token-exchange"}

func TestTheDocumentAndTheAddressesAreTheSame(t *testing.T) {
	t.Parallel()
	doc, err := described()
	if err != nil {
		t.Fatal(err)
	}
	x := newHouse(t)
	served := slices.Clone(elsewhere)
	for _, r := range x.api.Routes() {
		name := r.Method + " " + r.Path
		served = append(served, name)
		if doc.Public(name) != (r.Access == Public) {
			t.Errorf("%s is %s, and the document says otherwise", name, r.Access)
		}
	}
	slices.Sort(served)
	if said := doc.Operations(); !slices.Equal(said, served) {
		t.Errorf("the document has\n%s\nand these are served\n%s", strings.Join(said, "\n"), strings.Join(served, "\n"))
	}
}

func TestTheDocumentIsServed(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	var one, two any
	if err := yaml.Unmarshal(x.do("GET", "/api/openapi.yaml", "", "").status(200).Body.Bytes(), &one); err != nil {
		t.Fatal(err)
	}
	a := x.do("GET", "/api/openapi.json", "", "").status(200)
	if err := json.Unmarshal(a.Body.Bytes(), &two); err != nil || a.Header().Get("Content-Type") != "application/json" {
		t.Fatal(err, a.Header())
	}
	b, err := json.Marshal(one)
	if err != nil || string(b) != a.Body.String() {
		t.Errorf("YAML and JSON differ, %v", err)
	}
}

// TestWhoMayAskWhat asks at every address as nobody, as somebody and as an
// administrator.
func TestWhoMayAskWhat(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	nora, ada := x.token("nora"), x.token("ada")
	for _, r := range x.api.Routes() {
		target := strings.NewReplacer("{user}", "usr_two", "{session}", strings.Repeat("0", 64), "{organization}", "org_acme", "{invitation}", "inv_1", "{name}", "x", "{demo}", "demo-1-00000000000000aa").Replace(r.Path)
		if r.Path == "/api/auth/logout" {
			continue
		}
		nobody, somebody, admin := x.do(r.Method, target, "", ""), x.do(r.Method, target, nora, ""), x.do(r.Method, target, ada, "")
		if got := nobody.Code == 401; got != (r.Access != Public) {
			t.Errorf("%s %s (%s): nobody gets %d", r.Method, r.Path, r.Access, nobody.Code)
		}
		if got := somebody.Code == 403; got != (r.Access == Admin) {
			t.Errorf("%s %s (%s): somebody gets %d", r.Method, r.Path, r.Access, somebody.Code)
		}
		if admin.Code == 401 || admin.Code == 403 {
			t.Errorf("%s %s (%s): an administrator gets %d", r.Method, r.Path, r.Access, admin.Code)
		}
	}
}

func TestWhatIsNotThere(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	token := x.token("ada")
	for _, path := range []string{"/api", "/api/", "/api/nothing", "/api/auth", "/api/users/", "/api/auth/me/", "/api//auth/me", "/api/x/../auth/me", "/api/users/%20", "/api/users/a%2Fb", "/api/users/" + strings.Repeat("a", 129), "/api/sessions/1", "/api/organizations/nobody's"} {
		a := x.do("GET", path, token, "")
		if path == "/api/sessions/1" {
			a.reason(405, "method_not_allowed")
			continue
		}
		if a.Code != http.StatusNotFound || a.Header().Get("Location") != "" {
			t.Errorf("%s: %d", path, a.Code)
		}
	}
	a := x.do("DELETE", "/api/auth/login", token, "")
	a.reason(405, "method_not_allowed")
	if a.Header().Get("Allow") != "POST" {
		t.Errorf("Allow %q", a.Header().Get("Allow"))
	}
	if a := x.do("OPTIONS", "/api/users/me", token, ""); a.Header().Get("Allow") != "GET, HEAD, PATCH" {
		t.Errorf("Allow %q", a.Header().Get("Allow"))
	}
}

func TestTheAPIComesBeforeThePages(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	pages := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	h := x.api.Before(pages, "/api/audit-logs")
	for path, want := range map[string]int{"/": 418, "/apis": 418, "/api": 418, "/api/audit-logs": 418, "/api/audit-logs/1": 404, "/api/auth/me": 401, "//api/auth/me": 418} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "http://gate"+path, nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}

func TestBodiesThatAreRefused(t *testing.T) {
	t.Parallel()
	as := func(contentType string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Content-Type", contentType) }
	}
	plain := func(*http.Request) {}
	for name, c := range map[string]struct {
		body   string
		edit   func(*http.Request)
		status int
	}{
		"Empty":         {"", as("application/json"), 400},
		"NoType":        {noraSignsIn, func(r *http.Request) { r.Header.Del("Content-Type") }, 415},
		"L8JSONAsText":  {noraSignsIn, as("text/plain"), 415},
		"Form":          {"email=a", as("application/x-www-form-urlencoded"), 415},
		"Latin1":        {noraSignsIn, as("application/json; charset=iso-8859-1"), 415},
		"UTF8":          {noraSignsIn, as("application/json; charset=UTF-8"), 200},
		"NotJSON":       {"{", plain, 400},
		"Array":         {"[]", plain, 400},
		"Text":          {`"email"`, plain, 400},
		"Unknown":       {`{"email": "a", "password": "b", "role": "admin"}`, plain, 400},
		"OtherCase":     {`{"EMAIL": "nora@kappa4.com", "password": "SecurePassword123"}`, plain, 400},
		"Twice":         {`{"email": "a@b", "email": "nora@kappa4.com", "password": "SecurePassword123"}`, plain, 400},
		"TwiceEscaped":  {`{"email": "a@b", "em\u0061il": "nora@kappa4.com", "password": "SecurePassword123"}`, plain, 400},
		"Null":          {`{"email": null, "password": "x"}`, plain, 400},
		"Number":        {`{"email": 7, "password": "x"}`, plain, 400},
		"Object":        {`{"email": {"$ne": ""}, "password": "x"}`, plain, 400},
		"Follows":       {noraSignsIn + "{}", plain, 400},
		"NotUTF8":       {`{"email": "` + "\xff" + `", "password": "x"}`, plain, 400},
		"Deep":          {`{"email": ` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, plain, 400},
		"ManyFields":    {`{"email": {` + strings.Repeat(`"a": 1, `, 1) + manyFields(100) + `}}`, plain, 400},
		"Large":         {`{"email": "` + strings.Repeat("a", maxBody) + `"}`, plain, 413},
		"AsLargeAsItIs": {noraSignsIn + strings.Repeat(" ", maxBody-len(noraSignsIn)), plain, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newHouse(t)
			a := x.do("POST", "/api/auth/login", "", c.body, c.edit).status(c.status)
			if c.status != 200 && !strings.Contains(a.Body.String(), "request_invalid") {
				t.Errorf("%s", a.Body)
			}
		})
	}
}

func manyFields(n int) string {
	var fields []string
	for i := range n {
		fields = append(fields, `"f`+strings.Repeat("x", i)+`": 1`)
	}
	return strings.Join(fields, ", ")
}

func FuzzBodies(f *testing.F) {
	for _, s := range []string{noraSignsIn, "", "{}", `{"email": null}`, `{"a":{"b":[1,2,{"c":""}]}}`, `{"email":"a","email":"b"}`, "\xff", `{"email":"\ud800","password":""}`} {
		f.Add([]byte(s))
	}
	names := fieldNames(&loginRequest{})
	f.Fuzz(func(t *testing.T, body []byte) {
		if checkJSON(body, names) != nil {
			return
		}
		// What passes is an object of these names, each at most once and none null.
		var got map[string]any
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		for name, v := range got {
			if !slices.Contains(names, name) || v == nil {
				t.Fatalf("%q: %s %v", body, name, v)
			}
		}
	})
}
