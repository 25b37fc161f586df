package apidoc

import (
	"net/http"
	"strings"
	"testing"
)

const small = `
openapi: 3.1.0
info: {title: Small, version: "1"}
paths:
  /users/{id}:
    get:
      security: []
      responses:
        "200":
          description: one
          content: {application/json: {schema: {type: object, required: [id], properties: {id: {type: string}}, additionalProperties: false}}}
        "204": {description: none}
        4XX: {$ref: "#/components/responses/Problem"}
  /users/me:
    get: {responses: {"204": {description: none}}}
components:
  responses:
    Problem:
      description: a refusal
      content: {application/problem+json: {schema: {type: object, required: [status]}}}
`

func TestRepliesAreHeldAgainstTheDocument(t *testing.T) {
	d, err := Read([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	const object, problem = "application/json", "application/problem+json"
	for name, c := range map[string]struct {
		method, path string
		status       int
		typ, body    string
		wrong        string // "" if the reply is as the document says
	}{
		"AsItSays":     {"GET", "/users/7", 200, object, `{"id":"7"}`, ""},
		"NoBody":       {"GET", "/users/7", 204, "", "", ""},
		"ByItsClass":   {"GET", "/users/7", 404, problem, `{"status":404}`, ""},
		"NoOperation":  {"POST", "/users/7", 200, object, `{"id":"7"}`, "has no POST"},
		"NoSuchReply":  {"GET", "/users/7", 500, object, `{}`, "no reply 500"},
		"OtherType":    {"GET", "/users/7", 200, "text/html", `{"id":"7"}`, "of the type"},
		"Lacking":      {"GET", "/users/7", 200, object, `{}`, "missing property"},
		"Unsaid":       {"GET", "/users/7", 200, object, `{"id":"7","secret":1}`, "secret"},
		"NoJSON":       {"GET", "/users/7", 200, object, `{"id":`, "reply 200"},
		"BodyUnsaid":   {"GET", "/users/7", 204, "", "x", "has a body"},
		"ReferredTo":   {"GET", "/users/7", 404, problem, `{}`, "missing property"},
		"TheNamedPath": {"GET", "/users/me", 200, object, `{"id":"me"}`, "no reply 200"},
	} {
		t.Run(name, func(t *testing.T) {
			err := d.Check(c.method, c.path, c.status, http.Header{"Content-Type": {c.typ}}, []byte(c.body))
			if c.wrong == "" && err != nil || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
				t.Errorf("error %v, want %q", err, c.wrong)
			}
		})
	}
	if !d.Public("GET /users/{id}") || d.Public("GET /users/me") {
		t.Error("who may ask is taken wrongly")
	}
}

func TestDocumentsThatAreNoneAreRefused(t *testing.T) {
	for _, text := range []string{"", "openapi: 3.0.3", "[]", "openapi: 3.1.0\npaths: {/a: {get: {responses: {'200': {content: {application/json: {schema: {type: 7}}}}}}}}"} {
		if _, err := Read([]byte(text)); err == nil {
			t.Errorf("%q is read", text)
		}
	}
}
