package config

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestDecisionsAreReadAndChecked(t *testing.T) {
	t.Parallel()
	parse := func(text string) (*Config, error) {
		return Parse("/etc/gate/gate.yaml", []byte("cookie: {domain: .kappa4.com}\ndecisions: "+text+"\n"), nil)
	}
	c, err := parse("{file: log/decisions.ndjson, allows: 0.25}")
	if err != nil {
		t.Fatal(err)
	}
	if !c.Decisions.On() || c.Decisions.File != filepath.Join("/etc/gate", "log/decisions.ndjson") || c.Decisions.Allows != 0.25 || c.Decisions.Files != 8 {
		t.Errorf("read as %+v", c.Decisions)
	}
	if c, err := parse("{}"); err != nil || c.Decisions.On() {
		t.Errorf("on without being asked for: %v", err)
	}
	if _, err := parse("{url: 'http://127.0.0.1:9/v1', token_file: t}"); err != nil {
		t.Errorf("a token on this machine: %v", err)
	}
	for text, want := range map[string]string{
		"{file: a, url: 'https://x'}": "both file and url", "{url: 'ftp://x'}": "decisions.url", "{token_file: t}": "decisions.token_file",
		"{url: 'http://logs.example.com', token_file: t}": "unencrypted", "{url: 'https://u:p@logs.example.com'}": "must not hold a password",
		"{file: a, allows: 1.5}": "decisions.allows", "{file: a, allows: .nan}": "decisions.allows", "{file: a, max_mib: 0}": "decisions.max_mib",
		"{file: a, files: 0}": "decisions.files", "{file: a, sync: 2h}": "decisions.sync", "{file: a, buffer_mib: 0}": "decisions.buffer_mib",
	} {
		if _, err := parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
