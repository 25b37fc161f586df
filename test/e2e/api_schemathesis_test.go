package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/test/kit"
)

// testSchemathesis has the API asked what its document allows and what it does
// not, as an administrator; and as somebody else what ends one's own session.
// No reply may be a server's error, nor one that the document does not have.
func (h *apiHouse) testSchemathesis(t *testing.T) {
	root, err := kit.Root()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "sh", filepath.Join(root, "test", "e2e", "schemathesis", "install.sh")).Output()
	if err != nil {
		t.Fatalf("schemathesis cannot be installed: %v", err)
	}
	st := strings.TrimSpace(string(out))
	ending := []string{"logout", "endSession", "endSessions"}
	var others, these []string
	for _, id := range ending {
		others = append(others, "--exclude-operation-id", id)
		these = append(these, "--include-operation-id", id)
	}
	// The other way round the administrator has removed everybody by then.
	h.schemathesis(t, st, h.login(t, "neosc2").Access, 5*time.Second, these...)
	h.schemathesis(t, st, h.login(t, "admin").Access, 20*time.Second, others...)
}

// schemathesis runs it, and again where the edge gave up one of its thousands of
// requests after its second, or it got no answer to one, as happens on a busy
// machine: any 5xx counts. Its requests are the same each time, so that one that
// is never answered fails.
func (h *apiHouse) schemathesis(t *testing.T, st, token string, most time.Duration, which ...string) {
	t.Helper()
	for try := 1; ; try++ {
		output, err := h.trySchemathesis(t, st, token, most, which...)
		output = strings.ReplaceAll(output, token, "…")
		if err == nil {
			t.Log(output)
			return
		}
		if try == 3 || !strings.Contains(output, "gate_unavailable") && !strings.Contains(output, "Runtime Error") {
			t.Fatalf("%v\n%s", err, output)
		}
	}
}

func (h *apiHouse) trySchemathesis(t *testing.T, st, token string, most time.Duration, which ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), most+3*time.Minute)
	defer cancel()
	host := strings.TrimPrefix(h.origin, "http://")
	args := append([]string{
		"run", fmt.Sprintf("http://127.0.0.1:%d/api/openapi.json", h.Port), "-H", "Host: " + host, "-H", "Authorization: Bearer " + token,
		"--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
		"--max-time", fmt.Sprint(int(most.Seconds())), "--workers", "2", "--request-timeout", "30", "--seed", "1", "--generation-database", "none", "--warnings", "off",
	}, which...)
	cmd := exec.CommandContext(ctx, st, args...)
	cmd.Dir = t.TempDir()
	output, err := cmd.CombinedOutput()
	return string(output), err
}
