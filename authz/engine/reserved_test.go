package engine_test

import (
	"context"
	"strings"
	"testing"

	"github.com/neosc/gate/authz/engine"
)

func TestPolicyNeitherSetsNorRemovesWhatIsTheGatesAlone(t *testing.T) {
	e := testEdge()
	e.Reserved, e.ResponseSettable = []string{"x-pomerium-jwt-assertion"}, nil
	_, err := engine.Compile(rego(`decision := {"allowed": true, "headers": {"X-Pomerium-Jwt-Assertion": "forged"}}`), e)
	if err == nil || !strings.Contains(err.Error(), `"x-pomerium-jwt-assertion"`) {
		t.Errorf("stated in the text: %v", err)
	}
	for name, body := range map[string]string{
		"Set":     `decision := {"allowed": true, "headers": {["X-Pomerium-Jwt-Assertion"][0]: "forged"}}`,
		"Removed": `decision := {"allowed": true, "request_headers_to_remove": ["x-pomerium-jwt-assertion"]}`,
	} {
		p, err := engine.Compile(rego(body), e)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d, err := p.Decide(context.Background(), testRequest()); err == nil {
			t.Errorf("%s: decided %+v", name, d)
		}
	}
}
