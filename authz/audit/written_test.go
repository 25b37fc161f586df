package audit_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/neosc/gate/authz/audit"
)

// The actions of which the trail tells by itself are told of by the program, and no
// request can be made to look like one. Those of workspaces, which requests are,
// have their names from the policy's data.
func TestEveryActionIsWrittenAndKeptFromRequests(t *testing.T) {
	t.Parallel()
	source := map[string]string{}
	for _, dir := range []string{"../../session", "../../authz", "../../cmd"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			source[filepath.ToSlash(path)] = string(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	declared := map[string]string{}
	form := regexp.MustCompile(`(?m)^\s(Action\w+)\s+Action = "(\w+)"`)
	for path, text := range source {
		if filepath.Dir(path) == "../../session" {
			for _, m := range form.FindAllStringSubmatch(text, -1) {
				declared[m[1]] = m[2]
			}
		}
	}
	if len(declared) < 40 {
		t.Fatalf("only %d actions are found", len(declared))
	}
	for name, action := range declared {
		use, written := regexp.MustCompile(`\b`+name+`\b`), false
		for path, text := range source {
			switch filepath.Base(path) {
			case "actions.go", "auditlogs.go", "record.go": // lists of them
				continue
			}
			written = written || use.MatchString(form.ReplaceAllString(text, ""))
		}
		if !written {
			t.Errorf("nothing writes %s", action)
		}
		_, err := audit.ParseActions([]any{map[string]any{"routes": []any{"api"}, "method": "POST", "path": "/a", "action": action}})
		if err == nil {
			t.Errorf("a request may look like %s", action)
		}
	}
	for _, action := range []string{"register", "login", "sso_login", "logout", "session_created", "session_expired", "role_assigned", "role_revoked", "policy_activated", "request_allowed", "request_denied"} {
		if !strings.Contains(strings.Join(values(declared), " ")+" ", action+" ") {
			t.Errorf("there is no %s", action)
		}
	}
	data, err := os.ReadFile("../../policies/data.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"launch_workspace", "stop_workspace", "disconnect_session"} {
		if !strings.Contains(string(data), "action: "+action+"}") {
			t.Errorf("the policy's data has no %s", action)
		}
	}
}

func values(m map[string]string) (all []string) {
	for _, v := range m {
		all = append(all, v)
	}
	return all
}
