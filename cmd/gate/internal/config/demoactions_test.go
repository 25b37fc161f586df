package config

import (
	"strings"
	"testing"
)

func TestStepsAndActionsOfDemosAreReadAndChecked(t *testing.T) {
	t.Parallel()
	parse := func(demo string) (*Config, error) {
		return Parse("/etc/gate/gate.yaml", []byte(`cookie: {domain: .kappa4.com}
providers:
- {id: zitadel_onprem, issuer: "https://zitadel.example", client_id: gate}
demo:
  kinds: [{name: desktop}]
  `+demo+"\n"), nil)
	}
	c, err := parse(`steps:
  - {name: container, kind: webhook, url: "unix:///run/p.sock", secrets_file: hooks}
  - {name: roles, kind: zitadel, provider: zitadel_onprem, organization_id: "1", project_id: "2", key_file: key.json}
  - {name: more, kind: zitadel, provider: zitadel_onprem, organization_id: "1", project_id: "3", token_file: /run/pat}
  actions: [{provider: zitadel_onprem, keys_file: actions}]`)
	if err != nil {
		t.Fatal(err)
	}
	d := &c.Demo
	if got := strings.Join([]string{d.Steps[0].SecretsFile, d.Steps[1].KeyFile, d.Steps[2].TokenFile, d.Actions[0].KeysFile}, " "); got != "/etc/gate/hooks /etc/gate/key.json /run/pat /etc/gate/actions" {
		t.Error(got)
	}
	for text, want := range map[string]string{
		`actions: [{provider: nobody, keys_file: x}]`:                                                             `demo.actions has the provider "nobody"`,
		`actions: [{provider: zitadel_onprem, keys_file: ""}]`:                                                    "demo.actions has zitadel_onprem without keys_file",
		`actions: [{provider: zitadel_onprem}]`:                                                                   "keys_file",
		`steps: [{name: a, kind: webhook, url: "https://x"}]`:                                                     "needs url and secrets_file",
		`steps: [{name: a, kind: docker}]`:                                                                        `of the kind "docker"`,
		`steps: [{name: a, kind: zitadel, provider: nobody, organization_id: "1", project_id: "2", key_file: k}]`: `provider "nobody" is none`,
		`steps: [{name: a, kind: zitadel, provider: zitadel_onprem, organization_id: "1", project_id: "2", key_file: k, token_file: t}]`: "either key_file or token_file",
	} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
