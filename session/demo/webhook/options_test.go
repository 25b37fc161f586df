package webhook_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session/demo/webhook"
)

func TestWrongOptionsAreNamedWithTheirMend(t *testing.T) {
	good := webhook.Options{Name: "container", URL: "https://provisioner.internal/", Secrets: secretsFile(t, oneSecret)}
	if _, err := webhook.New(good); err != nil {
		t.Fatal(err)
	}
	open := secretsFile(t, oneSecret)
	if err := os.Chmod(open, 0o640); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*webhook.Options)
		want   string
	}{
		"NoName":       {func(o *webhook.Options) { o.Name = "" }, "must be 1 to 32"},
		"NameWithDot":  {func(o *webhook.Options) { o.Name = "a.b" }, "must be 1 to 32"},
		"PlainHTTP":    {func(o *webhook.Options) { o.URL = "http://provisioner.internal/" }, "must begin with https://"},
		"Scheme":       {func(o *webhook.Options) { o.URL = "ftp://x/" }, "must begin with https://"},
		"NoURL":        {func(o *webhook.Options) { o.URL = "" }, "is no address such as"},
		"Password":     {func(o *webhook.Options) { o.URL = "https://a:b@x/" }, "without a user"},
		"RelativeUnix": {func(o *webhook.Options) { o.URL = "unix://run/p.sock" }, "must be like unix:///"},
		"OddUnixPath":  {func(o *webhook.Options) { o.URL = "unix:///run/p.sock:hooks" }, "must be like unix:///"},
		"Timeout":      {func(o *webhook.Options) { o.Timeout = time.Hour }, "must be from 100ms to 1m0s"},
		"NoSecrets":    {func(o *webhook.Options) { o.Secrets = "" }, "secrets is empty"},
		"NotThere":     {func(o *webhook.Options) { o.Secrets = "/nowhere/at/all" }, "no such file"},
		"OpenFile":     {func(o *webhook.Options) { o.Secrets = open }, "chmod 600"},
		"NoPrefix":     {func(o *webhook.Options) { o.Secrets = secretsFile(t, "", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") }, "line 2 does not begin with whsec_"},
		"NoBase64":     {func(o *webhook.Options) { o.Secrets = secretsFile(t, "whsec_!!") }, "line 1 is not base64"},
		"Short":        {func(o *webhook.Options) { o.Secrets = secretsFile(t, "whsec_c2hvcnQ=") }, "a secret of 5 bytes, want 24 to 64"},
		"Long":         {func(o *webhook.Options) { o.Secrets = secretsFile(t, "whsec_"+strings.Repeat("A", 88)) }, "a secret of 66 bytes"},
		"Empty":        {func(o *webhook.Options) { o.Secrets = secretsFile(t, "# none") }, "has no secret"},
		"Nine":         {func(o *webhook.Options) { o.Secrets = secretsFile(t, slices.Repeat([]string{oneSecret}, 9)...) }, "has 9 secrets"},
	} {
		o := good
		c.change(&o)
		_, err := webhook.New(o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		} else if strings.Contains(err.Error(), "MfKQ9") || strings.Contains(err.Error(), "c2hvcnQ") {
			t.Errorf("%s: the secret is in %v", name, err)
		}
	}
}
