// Package starter has what a new policy begins with: a rule with its data and its
// test, and around it, where there is no policy set yet, one that is whole.
package starter

import (
	"embed"
	"fmt"
	"regexp"
	"strings"

	"github.com/neosc/gate/policies"
)

//go:embed files
var files embed.FS

// namePattern is what a rule, a package and a reason can all be called.
var namePattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

// reserved are names that Rego, or a set as it begins, has another use for.
var reserved = map[string]bool{
	"as": true, "default": true, "else": true, "false": true, "import": true, "package": true, "not": true, "null": true, "true": true,
	"with": true, "some": true, "in": true, "if": true, "contains": true, "every": true, "input": true, "data": true, "routes": true,
	"opening": true, "roles": true, "person": true, "noon": true, "hours": true, "denials": true,
}

// CheckName says what is wrong with a name, nil if nothing is.
func CheckName(name string) error {
	switch {
	case !namePattern.MatchString(name):
		return fmt.Errorf("%q is no name of a policy: use a-z, 0-9 and _, a letter first, at most 32", name)
	case reserved[name] || strings.HasSuffix(name, "_test"):
		return fmt.Errorf("a policy cannot be called %q: Rego or the policy set has another use for the word", name)
	}
	return nil
}

// Rule returns the files of one rule, by slash-separated name. CheckName has
// seen the name.
func Rule(name string) (map[string][]byte, error) {
	return fill(name, map[string]string{
		"rules/" + name + ".rego": "rule.rego.tmpl", "rules/" + name + "_test.rego": "rule_test.rego.tmpl",
		"settings/" + name + "/data.yaml": "rule.yaml.tmpl",
	})
}

// Set returns the files of a policy set that is whole but for its rules.
func Set() (map[string][]byte, error) {
	out, err := fill("", map[string]string{
		"authz.rego": "authz.rego.tmpl", "authz_test.rego": "authz_test.rego.tmpl", "settings/routes/data.yaml": "routes.yaml.tmpl",
	})
	if err != nil {
		return nil, err
	}
	base, err := policies.Base()
	if err != nil {
		return nil, err
	}
	for file, text := range base {
		out[file] = text
	}
	return out, nil
}

// Helpers are the files, besides its own, that a rule needs and an older set may
// lack.
func Helpers() (map[string][]byte, error) {
	base, err := policies.Base()
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, file := range []string{"lib/opening.rego", "lib/roles.rego", "lib/admin.rego", policies.SchemaFile} {
		out[file] = base[file]
	}
	return out, nil
}

func fill(name string, from map[string]string) (map[string][]byte, error) {
	out := map[string][]byte{}
	for file, template := range from {
		text, err := files.ReadFile("files/" + template)
		if err != nil {
			return nil, err
		}
		out[file] = []byte(strings.ReplaceAll(string(text), "NAME", name))
	}
	return out, nil
}
