package web

import (
	"net/url"
	"strings"
	"testing"
)

func TestReturnTargetOddOnesLeadNowhere(t *testing.T) {
	t.Parallel()
	for name, target := range map[string]string{
		"R1Backslash": "/%5Cevil.com", "R1Raw": `/\evil.com`, "R1Absolute": `https:\\evil.com`, "R1InHost": `https://portal.kappa4.com\@evil.com`, "R1InPath": portal + `/\evil.com`,
		"R2Tab": "/\t/evil.com", "R2TabInScheme": "https:\t//portal.kappa4.com/", "R2LineEnd": portal + "/\n", "R2Vertical": portal + "/\v", "R2Nul": portal + "/\x00", "R2Del": portal + "/\x7f",
		"R3Slashes": "//portal.kappa4.com", "R3Three": "///evil.com", "R3Dot": `/./\evil.com`, "R3Encoded": "/%2f%2fevil.com", "R3Path": "/a", "R3Relative": "a/b", "R3SchemeOnly": "https:///portal.kappa4.com/", "R3FourSlashes": "https:////portal.kappa4.com/",
		"R4Suffix": "https://portal.kappa4.com.evil.com/", "R4Prefix": "https://evilportal.kappa4.com/", "R4Parent": "https://kappa4.com/", "R4Sibling": "https://x.portal.kappa4.com/",
		"R5UserInfo": "https://portal.kappa4.com@evil.com/", "R5UserInfoHere": "https://evil@portal.kappa4.com/", "R5Password": "https://portal.kappa4.com:443@evil.com/", "R5Empty": "https://@portal.kappa4.com/", "R5AfterQuery": "https://evil.com?@portal.kappa4.com/",
		"R6Port": "https://portal.kappa4.com:4443/", "R6EmptyPort": "https://portal.kappa4.com:/", "R6JavaScript": "javascript:alert(1)", "R6JavaScriptHost": "javascript://portal.kappa4.com/%0aalert(1)", "R6OneSlash": "https:/evil.com", "R6NoSlash": "https:portal.kappa4.com", "R6Data": "data:text/html,x", "R6Scheme": "http://portal.kappa4.com/", "R6SchemeCase": "HTTPS://portal.kappa4.com/", "R6PortOfDev": "http://dev.localhost:80/", "R6NoPortOfDev": "http://dev.localhost/",
		"R7FullWidthDot": "https://portal．kappa4.com/", "R7Ideographic": "https://portal。kappa4.com/", "R7FullWidthSlash": "https://portal.kappa4.com／@evil.com", "R7Path": portal + "/é", "R7Encoded": "https://portal%2ekappa4.com/", "R7HostCase": "https://Portal.kappa4.com/", "R7TrailingDot": "https://portal.kappa4.com./",
		"R9CRLF": portal + "/\r\nSet-Cookie: x=y", "R9CR": "\r" + portal, "Space": " " + portal, "SpaceAfter": portal + " ",
		"R10Logout": gateOrigin + "/oauth2/sign_out", "R10Encoded": gateOrigin + "/oauth2/%73ign_out", "R10Dots": gateOrigin + "/./oauth2/sign_out", "R10Slashes": gateOrigin + "//oauth2/sign_out", "R10Callback": gateOrigin + "/callback/x?code=1", "R10SignIn": gateOrigin + "/oauth2/sign_in?rd=" + gateOrigin, "R10Query": gateOrigin + "?x", "R10QuerySlash": gateOrigin + "/?rd=x",
		"R10DemoMore": gateOrigin + "/demo?type=a&x=1", "R10DemoRd": gateOrigin + "/demo?rd=x", "R10DemoBelow": gateOrigin + "/demo/demo-1/end", "R10DemoDots": gateOrigin + "/demo/../oauth2/sign_out", "R10DemoEncoded": gateOrigin + "/demo?type=%0a", "R10Demos": gateOrigin + "/demos", "R10Admin": gateOrigin + "/admin/demos",
		"Fragment": portal + "/#x", "BadEscape": portal + "/%zz", "Empty": "", "Long": portal + "/" + strings.Repeat("a", maxTarget), "Brackets": "https://[::1]/", "Star": "https://*.kappa4.com/", "Semicolon": "https://portal.kappa4.com;evil.com/",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, ok := ReturnTarget(target, gateOrigin, isOrigin); ok || got != "" {
				t.Errorf("%q leads to %q", target, got)
			}
		})
	}
}

func TestReturnTargetWholeOnesLeadBack(t *testing.T) {
	t.Parallel()
	for _, target := range []string{
		portal, portal + "/", portal + "?a=b", portal + "/a/b?x=1&y=https%3A%2F%2Fevil.com", portal + "/a%20b", portal + "//double", "https://admin.portal.kappa4.com/users",
		"http://dev.localhost:8080/x", gateOrigin, gateOrigin + "/", portal + "/callback?code=1", gateOrigin + "/demo", gateOrigin + "/demo?type=linux-2", gateOrigin + "/demo/demo-1772731860-k3f9",
	} {
		if got, ok := ReturnTarget(target, gateOrigin, isOrigin); !ok || got != target {
			t.Errorf("%q: %q, %v", target, got, ok)
		}
	}
}

func TestSignInHoldsTheTargetInEveryPlace(t *testing.T) {
	t.Parallel()
	for _, rd := range []string{"//evil.com", `https://portal.kappa4.com\@evil.com`, gateOrigin + "/oauth2/sign_out"} {
		b := newHouse(t).browser()
		if got := b.signIn(rd).Header.Get("Location"); got != gateOrigin+"/" {
			t.Errorf("after the form, rd=%q leads to %q", rd, got)
		}
		if got := b.do("GET", "/oauth2/sign_in?rd="+url.QueryEscape(rd), nil).Header.Get("Location"); got != gateOrigin+"/" {
			t.Errorf("already signed in, rd=%q leads to %q", rd, got)
		}
	}
	b := newHouse(t).browser()
	for _, query := range []string{"rd=" + portal + "/&rd=https://evil.com/", "rd=%zz", "rd=" + portal + "/%0d%0aX:y"} {
		if body := text(t, b.do("GET", "/oauth2/sign_in?"+query, nil)); strings.Contains(body, `name="rd"`) {
			t.Errorf("%q: the form holds a target", query)
		}
	}
}

// FuzzReturnTarget holds that whatever is accepted goes to a known origin, as
// Go reads it and as a browser would (WHATWG URL: backslashes are slashes, tabs
// and line ends vanish, extra slashes after the scheme are skipped).
func FuzzReturnTarget(f *testing.F) {
	for _, s := range []string{portal, portal + "/a?b", `https:/\portal.kappa4.com`, "https://portal.kappa4.com@evil.com", "//evil", "https://portal。kappa4.com", gateOrigin + "/oauth2/sign_out", gateOrigin + "/demo?type=linux", gateOrigin + "/demo/demo-1-a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := ReturnTarget(s, gateOrigin, isOrigin)
		if !ok {
			if got != "" {
				t.Fatalf("refused %q, and yet returned %q", s, got)
			}
			return
		}
		u, err := url.Parse(got)
		if err != nil || u.User != nil || !origins[u.Scheme+"://"+u.Host] {
			t.Fatalf("%q goes to %q as Go reads it: %v", s, got, err)
		}
		if o := browserOrigin(got); !origins[o] {
			t.Fatalf("%q goes to %q as a browser reads it", s, o)
		}
		if u.Scheme+"://"+u.Host == gateOrigin && u.Path != "" && u.Path != "/" && u.Path != "/demo" && !strings.HasPrefix(u.Path, "/demo/demo-") {
			t.Fatalf("%q goes to %q of the gate", s, u.Path)
		}
	})
}

// browserOrigin is a crude reading of a special URL by the WHATWG rules.
func browserOrigin(s string) string {
	s = strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
	s = strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(s)
	scheme, rest, _ := strings.Cut(s, ":")
	rest = strings.TrimLeft(rest, "/")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = rest[i+1:]
	}
	return strings.ToLower(scheme) + "://" + rest
}
