package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestBundleSettings(t *testing.T) {
	t.Parallel()
	const least = "cookie: {domain: .kappa4.com}\n"
	for name, c := range map[string]struct{ text, says string }{
		"Both":                {"policy: {path: x, bundle: {url: \"https://a/b\"}}", "policy.bundle.url and policy.path are both set"},
		"TokenForNobody":      {"policy: {bundle: {token_file: t}}", "policy.bundle.url is empty"},
		"PollTooOften":        {"policy: {bundle: {poll: 1ms}}", "policy.bundle.poll must be from 1s"},
		"WaitTooLong":         {"policy: {bundle: {wait: 1h}}", "policy.bundle.wait must be"},
		"KeepOne":             {"policy: {bundle: {keep: 1}}", "policy.bundle.keep must be from 2"},
		"NoTimeForTests":      {"policy: {bundle: {test_time: 0s}}", "policy.bundle.test_time must be"},
		"RequiredWithoutKeys": {"policy: {verify: {required: true}}", "policy.verify.keys is empty"},
		"KeysAndNotRequired":  {"policy: {verify: {required: false, keys: [k.pem]}}", "nothing unsigned is taken"},
		"NoAddress":           {"policy: {bundle: {url: bundles.example.com}}", "must be an address"},
		"PasswordInURL":       {"policy: {bundle: {url: \"https://u:p@a/b\"}}", "without a password"},
		"UnsignedOverHTTP":    {"policy: {bundle: {url: \"http://a.example.com/b\"}}", "use https, or have bundles signed"},
		"TokenOverHTTP":       {"policy: {bundle: {url: \"http://a.example.com/b\", token_file: t}, verify: {keys: [k.pem]}}", "unencrypted"},
	} {
		if _, err := Parse("gate.yaml", []byte(least+c.text), nil); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	for _, text := range []string{
		"policy: {bundle: {url: \"http://127.0.0.1:1/b\", token_file: t}}", "policy: {bundle: {url: \"http://a.example.com/b\"}, verify: {keys: [k.pem]}}",
		"policy: {bundle: {url: \"https://a.example.com/b\", token_file: t, ca: ca.pem, poll: 5m, wait: 0s, keep: 3}}",
	} {
		if _, err := Parse("gate.yaml", []byte(least+text), nil); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// The manual's configuration is one, and says what the defaults are.
func TestTheManualOfBundlesIsRight(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../../docs/bundles.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatal("there is no configuration in it")
	}
	c, err := Parse("/etc/neosc-gate/gate.yaml", append([]byte("cookie: {domain: .kappa4.com}\n"), block[1]...), nil)
	if err != nil {
		t.Fatal(err)
	}
	if v := c.Policy.Verify; !v.Verified() || v.Keys[0] != "/etc/neosc-gate/release.pem" || c.Policy.Path != "/etc/neosc-gate/policy.tar.gz" {
		t.Errorf("%+v", c.Policy)
	}
	if b := c.Policy.Bundle; b.Poll != 60*time.Second || b.Wait != 5*time.Minute || b.Keep != 10 || b.TestTime != 2*time.Minute {
		t.Errorf("the defaults are %+v; does the manual say so?", b)
	}
}

// The production sample takes no rules that nobody has signed.
func TestTheProductionSampleRequiresSignatures(t *testing.T) {
	t.Parallel()
	c, err := Load(filepath.Join("..", "..", "..", "..", "deploy", "production", "gate.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if v := c.Policy.Verify; v.Required == nil || !*v.Required || !v.Verified() {
		t.Errorf("%+v", v)
	}
}
