package decisionlog_test

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/observe/decisionlog"
)

// TestNoRecordHoldsASecret wherever one may be, whatever the policy makes of it.
func TestNoRecordHoldsASecret(t *testing.T) {
	t.Parallel()
	const token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbmEifQ.c2VjcmV0-_c2VjcmV0c2VjcmV0"
	const key = "k3y-0123456789"
	for name, change := range map[string]func(*authz.Request, *authz.Outcome){
		"SessionAmongCookies":   func(r *authz.Request, _ *authz.Outcome) { header(r, "cookie", "a=b; _pomerium="+key+"; c=d") },
		"SecondCookieField":     func(r *authz.Request, _ *authz.Outcome) { header(r, "cookie", "x="+key) },
		"Authorization":         func(r *authz.Request, _ *authz.Outcome) { header(r, "proxy-authorization", "Basic "+key) },
		"SemicolonInQuery":      func(r *authz.Request, _ *authz.Outcome) { r.Path = "/a?x=1;token=" + key },
		"EscapedName":           func(r *authz.Request, _ *authz.Outcome) { r.Path = "/a?t%6Fken=" + key },
		"SAML":                  func(r *authz.Request, _ *authz.Outcome) { r.Path = "/a?SAMLResponse=" + key + "&RelayState=" + key },
		"SignedLink":            func(r *authz.Request, _ *authz.Outcome) { r.Path = "/a?X-Amz-Signature=" + key },
		"SessionInPath":         func(r *authz.Request, _ *authz.Outcome) { r.Path = "/a;jsessionid=" + key + "/b?x=1" },
		"PathInHeader":          func(r *authz.Request, _ *authz.Outcome) { r.Path = "/a?token=" + key; header(r, ":path", r.Path) },
		"OtherPathInHeader":     func(r *authz.Request, _ *authz.Outcome) { header(r, "x-envoy-original-path", "/a?token="+key) },
		"TokenInPath":           func(r *authz.Request, _ *authz.Outcome) { r.Path = "/reset/" + token + "?x=1" },
		"TokenInParameter":      func(r *authz.Request, _ *authz.Outcome) { r.Path = "/a?x=" + token },
		"TokenWithoutParameter": func(r *authz.Request, _ *authz.Outcome) { r.Path = "/a?" + token },
		"TokenInHeader":         func(r *authz.Request, _ *authz.Outcome) { header(r, "sec-websocket-protocol", "v1, "+token) },
		"TokenInClaim":          func(r *authz.Request, _ *authz.Outcome) { r.Session.Identity.Claims["up"] = []any{token} },
		"KeyOfLimit": func(r *authz.Request, o *authz.Outcome) {
			header(r, "x-api-key", key)
			o.Decision.Charges = []authz.Charge{{Name: "key", Key: "key:" + key, Rate: 1, Burst: 1, Cost: 1}}
			o.Charge = &o.Decision.Charges[0]
		},
		"CopiedToHeader": func(r *authz.Request, o *authz.Outcome) {
			header(r, "authorization", "Bearer "+key)
			o.Decision.Headers = append(o.Decision.Headers, authz.Header{Name: "x-upstream", Value: "for " + key})
		},
		"CopiedFromQuery": func(r *authz.Request, o *authz.Outcome) {
			r.Path = "/a?token=" + key
			o.Decision.Metadata = map[string]any{"who": key}
			o.Decision.QuerySet = []authz.QueryParameter{{Name: "who", Value: key}}
		},
		"AddressInAnswer": func(_ *authz.Request, o *authz.Outcome) {
			o.Decision.ResponseHeaders = append(o.Decision.ResponseHeaders, authz.Header{Name: "location", Value: "https://x/?a=" + key})
		},
		"MatrixInReferer": func(r *authz.Request, _ *authz.Outcome) { r.Headers[6].Value = "https://x/a;jsessionid=" + key + "/b" },
		"MatrixInHeader":  func(r *authz.Request, _ *authz.Outcome) { header(r, "x-envoy-original-path", "/a;jsessionid="+key) },
		"PathTwiceInHeaders": func(r *authz.Request, _ *authz.Outcome) {
			r.Path = "/a?token=" + key
			header(r, ":path", r.Path)
			header(r, ":path", r.Path)
		},
		"ReturnAddress": func(r *authz.Request, _ *authz.Outcome) {
			r.Path = "/oauth2/sign_in?rd=" + url.QueryEscape("https://portal.kappa4.com/reset?token="+key)
		},
		"ReturnAddressWithinAnother": func(r *authz.Request, _ *authz.Outcome) {
			r.Path = "/sign_in?rd=" + url.QueryEscape("/sign_in?x=1&rd="+url.QueryEscape("/reset;sid="+key))
		},
		"ReturnAddressFarWithin": func(r *authz.Request, _ *authz.Outcome) {
			r.Path = "/reset?token=" + key
			for range 9 {
				r.Path = "/sign_in?rd=" + url.QueryEscape(r.Path)
			}
		},
		"ReturnAddressWithFragment":   func(r *authz.Request, _ *authz.Outcome) { r.Path = "/a?to=%2Fb%23access_token%3D" + key },
		"ReturnAddressAsName":         func(r *authz.Request, _ *authz.Outcome) { r.Path = "/a?%2Fb%3Ftoken%3D" + key },
		"ReturnAddressWithoutSlashes": func(r *authz.Request, _ *authz.Outcome) { r.Path = "/a?to=/b?token=" + key },
		"EscapedSegment":              func(r *authz.Request, _ *authz.Outcome) { r.Path = "/a%3Bjsessionid%3D" + key + "/b" },
		"DotsOfTokenEscaped": func(r *authz.Request, _ *authz.Outcome) {
			r.Path = "/" + strings.ReplaceAll(token, ".", "%2E") + "?x=" + strings.ReplaceAll(token, ".", "%2e")
		},
		"EarlierParameter":        func(r *authz.Request, _ *authz.Outcome) { r.Path = "/a?a=" + key + "&token=" + key },
		"ParameterCopiedInHeader": func(r *authz.Request, _ *authz.Outcome) { r.Path = "/a?token=" + key; header(r, "x-copy", "is "+key) },
		"HeaderCopiedInPath": func(r *authz.Request, _ *authz.Outcome) {
			r.Path = "/v1/" + key + "/x?" + key
			header(r, "x-api-key", key)
		},
		"HeaderCopiedEscaped": func(r *authz.Request, _ *authz.Outcome) {
			header(r, "x-api-key", key+"+/=")
			r.Path = "/v1/" + url.PathEscape(key+"+/=") + "?a=" + url.QueryEscape(key+"+/=")
		},
		"HeaderCopiedInHost": func(r *authz.Request, _ *authz.Outcome) { r.Host = key + ".kappa4.com"; header(r, "x-api-key", key) },
		"TokenAsRequestID":   func(r *authz.Request, _ *authz.Outcome) { r.ID = token; header(r, "x-request-id", token) },
		"AddressOfPage":      func(r *authz.Request, _ *authz.Outcome) { header(r, "hx-current-url", "https://x/a?a="+key) },
		"AddressForwarded":   func(r *authz.Request, _ *authz.Outcome) { header(r, "x-forwarded-url", "https://x/a?a="+key) },
		"RefererCopied": func(r *authz.Request, o *authz.Outcome) {
			r.Headers[6].Value = "https://x/a?token=" + key
			o.Decision.Metadata = map[string]any{"from": r.Headers[6].Value}
		},
		"FragmentInAnswer": func(_ *authz.Request, o *authz.Outcome) {
			o.Decision.ResponseHeaders = append(o.Decision.ResponseHeaders, authz.Header{Name: "location", Value: "https://x/#a=" + key})
		},
		"RefreshInAnswer": func(_ *authz.Request, o *authz.Outcome) {
			o.Decision.ResponseHeaders = append(o.Decision.ResponseHeaders, authz.Header{Name: "refresh", Value: "0;url=https://x/?a=" + key})
		},
		"EscapedParameterInKey":  func(r *authz.Request, o *authz.Outcome) { keyed(r, o, "/a?sig=k3y%2D0123456789%3d") },
		"ShortParameterInKey":    func(r *authz.Request, o *authz.Outcome) { keyed(r, o, "/a?otp=s3cr3t") },
		"SegmentInKey":           func(r *authz.Request, o *authz.Outcome) { keyed(r, o, "/a;jsessionid="+key) },
		"ParameterNotSoundInKey": func(r *authz.Request, o *authz.Outcome) { keyed(r, o, "/a?x=%zz&token="+key) },
		"QueryInBody": func(r *authz.Request, o *authz.Outcome) {
			r.Path = "/a?otp=s3cr3t"
			o.Decision.Body = "not for otp=s3cr3t"
		},
		"NameOfLimit": func(r *authz.Request, o *authz.Outcome) {
			header(r, "x-api-key", key)
			o.Decision.Charges = []authz.Charge{{Name: "k:" + key, Key: "a", Rate: 1, Burst: 1, Cost: 1}}
			o.Charge = &o.Decision.Charges[0]
		},
		"NameInMetadata": func(r *authz.Request, o *authz.Outcome) {
			header(r, "x-api-key", key)
			o.Decision.Metadata = map[string]any{key: 1, key + "_token": 2, "x" + key: map[string]any{"api_token": 1}}
		},
		"NameInAnswer": func(r *authz.Request, o *authz.Outcome) {
			header(r, "x-api-key", key)
			o.Decision.Headers = append(o.Decision.Headers, authz.Header{Name: key, Value: "1"})
			o.Decision.QueryRemove = []string{key}
		},
		"NameOfParameter": func(r *authz.Request, _ *authz.Outcome) {
			r.Path = "/a?" + key + "_token=1&x=2"
			header(r, "x-api-key", key)
		},
		"Reason": func(r *authz.Request, o *authz.Outcome) {
			header(r, "x-api-key", "s3cr3t0123456789")
			o.Decision.Reasons = []string{"bad_key_s3cr3t0123456789"}
			o.Reasons = o.Decision.Reasons
		},
		"TokenInBody": func(_ *authz.Request, o *authz.Outcome) { o.Decision.Body = "take " + token },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, o := asked("r-1")
			change(r, o)
			line := one(t, r, o)
			if strings.Contains(line, key) || strings.Contains(line, "k3y%2D") || strings.Contains(line, token[:20]) || strings.Contains(line, "s3cr3t") {
				t.Errorf("a secret is in %s", line)
			}
			if _, err := decisionlog.Parse(line); err != nil {
				t.Error(err)
			}
		})
	}
}

// keyed has a policy limit by the path.
func keyed(r *authz.Request, o *authz.Outcome, path string) {
	r.Path = path
	o.Decision.Charges = []authz.Charge{{Name: "key", Key: "of " + path, Rate: 1, Burst: 1, Cost: 1}}
	o.Charge = &o.Decision.Charges[0]
}

func header(r *authz.Request, name, value string) {
	r.Headers = append(r.Headers, authz.Header{Name: name, Value: value})
}

// hiding is a filter as a policy that masks who asked and from where.
type hiding []string

func (h hiding) Active() bool { return true }

func (h hiding) Apply(_ context.Context, record map[string]any) (bool, error) {
	var erased []any
	for _, p := range h {
		erased = append(erased, p)
	}
	record["erased"] = erased
	return false, nil
}

func TestWhatPolicyHidesIsNotKeptBeside(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		hide string
		gone []string
	}{
		{"/input/session/user/email", []string{"email"}},
		{"/input/session/user", []string{"email", "user"}},
		{"/input/attributes", []string{"request_id", "requested_by"}},
		{"/input/attributes/source/address/socketAddress/address", []string{"requested_by"}},
		{"/result/rate_limits/0/key", []string{"limit"}},
		{"/input/session/username", nil},
		{"/input/route", []string{"route"}},
		{"/input/route/policy", nil},
		{"/result/reasons", []string{"reasons"}},
		{"/result/reasons/0", []string{"reasons"}},
	} {
		m := &memory{}
		opt := options(m)
		opt.Filter = hiding{c.hide}
		r, o := asked("r-1")
		lines := logged(t, opt, m, func(l *decisionlog.Log) { l.Observe(r, o, 0) })
		var all map[string]any
		if err := json.Unmarshal([]byte(lines[0]), &all); err != nil {
			t.Fatal(err)
		}
		custom, _ := all["custom"].(map[string]any)
		for _, name := range []string{"email", "user", "request_id", "requested_by", "limit", "route", "reasons"} {
			_, below := custom[name]
			_, top := all[name]
			if (below || top) == slices.Contains(c.gone, name) {
				t.Errorf("%s: %s is there: %v", c.hide, name, below || top)
			}
		}
	}
}

func TestACertificateThatIsCutIsNamed(t *testing.T) {
	t.Parallel()
	for _, change := range []func(*authz.Certificate, string){
		func(c *authz.Certificate, long string) { c.Serial = long },
		func(c *authz.Certificate, long string) { c.Fingerprint = long },
	} {
		r, o := asked("r-1")
		change(r.Certificate, strings.Repeat("f", 600))
		rec, err := decisionlog.Parse(one(t, r, o))
		if err != nil || !slices.Contains(rec.Masked, "/input/attributes/source") {
			t.Errorf("masked is %v: %v", rec.Masked, err)
		}
	}
}
