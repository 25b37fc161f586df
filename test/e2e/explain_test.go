package e2e

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/neosc/gate/test/kit"
)

// explained is what these tests read of gate explain -json.
type explained struct {
	Verdict  string
	Status   int
	Reasons  []struct{ Code, Text string }
	Request  struct{ Path, Route, Host string }
	Who      *struct{ Email string }
	Policy   struct{ Generation uint64 }
	Recorded *struct {
		Verdict    string
		Reasons    []struct{ Code string }
		Agrees     bool
		SamePolicy bool `json:"same_policy"`
		LeftOut    []string
	}
	Notes []string
	Rules []struct {
		Text, File, State string
		Decided           bool
	}
}

func explain(t *testing.T, d *kit.Demo, args ...string) (x explained, text string) {
	t.Helper()
	text = d.Run(t, append([]string{"explain", "-json"}, args...)...)
	if err := json.Unmarshal([]byte(text), &x); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return x, text
}

func (x explained) codes() (codes []string) {
	for _, r := range x.Reasons {
		codes = append(codes, r.Code)
	}
	return codes
}

func TestARefusalIsExplainedByItsRequestID(t *testing.T) {
	t.Parallel()
	d := kit.StartDemo(t, kit.DemoOptions{})
	neosc := d.SignedIn(t, "neosc")
	const secret = "s3cr3t-v4lue"
	reply := neosc.Do(t, "GET", d.Origin("admin.portal")+"/users?access_token="+secret+"&page=2", nil, "Accept", "application/json", "Cookie", "other="+secret)
	var problem struct{ Reasons []string }
	if err := json.Unmarshal([]byte(reply.Text), &problem); err != nil || reply.StatusCode != 403 {
		t.Fatalf("%s %v\n%s", reply.Status, err, reply.Text)
	}
	id := reply.Header.Get("X-Request-Id")
	x, text := explain(t, d, "-request-id", id)
	if x.Verdict != "deny" || x.Status != 403 || !slices.Equal(x.codes(), problem.Reasons) || x.Request.Route != "admin" || x.Who == nil || x.Who.Email != "neosc@"+kit.Domain {
		t.Errorf("the answer said %q, the explanation %+v", problem.Reasons, x)
	}
	if r := x.Recorded; r == nil || !r.Agrees || !r.SamePolicy || r.Verdict != "deny" || len(r.Reasons) != 1 {
		t.Errorf("recorded %+v", r)
	}
	if r := x.Rules[0]; !strings.HasPrefix(r.Text, "denials contains access_denial") || r.State != "held" || !r.Decided || r.File != "authz.rego" {
		t.Errorf("the first rule is %+v", r)
	}
	if strings.Contains(text, secret) || strings.Contains(text, neosc.Session()) || !strings.Contains(x.Request.Path, "page=2") {
		t.Errorf("a secret is in %s", text)
	}

	// The same question made up gives the same answer.
	if y, _ := explain(t, d, "-as", "neosc@"+kit.Domain, "-url", d.Origin("admin.portal")+"/users"); !slices.Equal(y.codes(), x.codes()) || y.Request.Route != "admin" {
		t.Errorf("made up: %+v", y)
	}
	// So do an allow, and a refusal that policy had no part in.
	allowed := neosc.Get(t, d.Origin("portal")+"/")
	if y, _ := explain(t, d, "-request-id", allowed.Header.Get("X-Request-Id")); allowed.StatusCode != 200 || y.Verdict != "allow" || !y.Recorded.Agrees {
		t.Errorf("%s is explained as %+v", allowed.Status, y.Recorded)
	}
	forged := neosc.Do(t, "POST", d.Origin("api.portal")+"/api/workspaces", nil, "Origin", "http://evil.example", "Accept", "application/json")
	if y, _ := explain(t, d, "-request-id", forged.Header.Get("X-Request-Id")); forged.StatusCode != 403 || !slices.Equal(y.codes(), []string{"origin_mismatch"}) || len(y.Rules) != 0 {
		t.Errorf("%s is explained as %+v", forged.Status, y)
	}
}

func TestAnExplanationSaysThatThePolicyHasChangedSince(t *testing.T) {
	t.Parallel()
	s := &swap{t: t, dir: filepath.Join(t.TempDir(), "policies")}
	if err := kit.WritePolicies(s.dir); err != nil {
		t.Fatal(err)
	}
	s.d = kit.StartDemo(t, kit.DemoOptions{Policy: s.dir})
	user := s.d.SignedIn(t, "user")
	reply := user.Get(t, s.d.Origin("admin.portal")+"/")
	s.edit("data.yaml", "    admin:\n      roles:\n        admin: all\n", "    admin:\n      roles:\n        admin: all\n        user: read\n")
	s.becomes(user, "admin.portal", "200")
	x, _ := explain(t, s.d, "-request-id", reply.Header.Get("X-Request-Id"))
	if x.Verdict != "allow" || x.Recorded.Verdict != "deny" || x.Recorded.SamePolicy || x.Recorded.Agrees || !strings.Contains(strings.Join(x.Notes, "\n"), "the policy has changed since") {
		t.Errorf("%+v %+v", x, x.Recorded)
	}
}
