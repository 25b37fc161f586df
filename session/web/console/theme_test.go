package console

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

var themeToken = regexp.MustCompile(`action="/account/theme">(?s:.*?)<input name="csrf" type="hidden" value="([^"]+)"`)

func TestColoursAreChosenInTheMenuAndStay(t *testing.T) {
	t.Parallel()
	x := newHouse(t)
	x.add("marta@kappa4.com", "admin")
	b := x.as("marta@kappa4.com")
	choose := func(page, theme string, edit ...func(*http.Request)) answer {
		t.Helper()
		m := themeToken.FindStringSubmatch(b.get(page).text)
		if m == nil {
			t.Fatalf("%s has no menu of colours", page)
		}
		return b.do("POST", "/account/theme", url.Values{"csrf": {m[1]}, "theme": {theme}}, append([]func(*http.Request){func(r *http.Request) { r.Header.Set("Referer", origin+page) }}, edit...)...)
	}
	for _, page := range []string{"/", "/account", "/admin", "/admin/users?q=marta"} {
		a := choose(page, "dark")
		if to := a.Header.Get("Location"); a.StatusCode != http.StatusSeeOther || to != origin+page {
			t.Errorf("from %s it goes to %q, %s", page, to, a.Status)
		}
		b.get(page).wants(t, 200, `<html lang="en" data-theme="dark">`, `value="dark" aria-current="true"`)
		choose(page, "")
		if a := b.get(page); strings.Contains(a.text, "data-theme") || !strings.Contains(a.text, `value="" aria-current="true"`) {
			t.Errorf("%s does not follow the system again", page)
		}
	}
	a := choose("/account", "light")
	line := a.Header.Get("Set-Cookie")
	if !strings.HasPrefix(line, "__Host-pomerium_theme=light; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax; Secure") {
		t.Errorf("the cookie is %q", line)
	}
	// Pages of nobody in particular, and refusals, have them too.
	for path, status := range map[string]int{"/oauth2/signed_out": 200, "/nothing": 404} {
		b.get(path).wants(t, status, `<html lang="en" data-theme="light">`)
	}
	b.cookies["__Host-pomerium_theme"] = "dark'><script>"
	if got := b.get("/account").text; strings.Contains(got, "data-theme") {
		t.Error("a cookie that says something else is believed")
	}
	choose("/account", "blue").wants(t, 403)
	choose("/account", "dark", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }).wants(t, 403)
	b.send("/account", "/account/theme", "theme", "dark").wants(t, 403)
	for referer, want := range map[string]string{"": "/", "https://evil.example/a": "/", origin + "//evil.example": "/", origin + "/account?x=1": "/account?x=1", ":": "/"} {
		a := choose("/account", "dark", func(r *http.Request) { r.Header.Set("Referer", referer) })
		if to := a.Header.Get("Location"); to != origin+want {
			t.Errorf("from %q it goes to %q", referer, to)
		}
	}
	if a := x.stranger().do("POST", "/account/theme", url.Values{"theme": {"dark"}}); a.StatusCode != http.StatusSeeOther || len(a.Cookies()) > 0 && strings.Contains(a.Cookies()[0].Name, "theme") {
		t.Errorf("a stranger is answered %s", a.Status)
	}
}
