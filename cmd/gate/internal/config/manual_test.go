package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz/route/strictyaml"
)

var quoted = regexp.MustCompile("`([^`]+)`")

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section is what stands below a heading, up to the next one of any level.
func section(t *testing.T, text, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("there is no heading %q", heading)
	}
	rest, _, _ = strings.Cut(rest, "\n#")
	return rest
}

func quotedIn(text string) (all []string) {
	for _, m := range quoted.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

// rows are the cells of a page's tables.
func rows(text string) (all [][]string) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "|") && !strings.HasPrefix(line, "|---") {
			all = append(all, strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|"))
		}
	}
	return all
}

// keys collects the paths of all keys, of lists as in providers[].id, each with
// its default (invalid within lists). A list of mappings is itself a key.
func keys(v reflect.Value, typ reflect.Type, path string, into map[string]reflect.Value) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" {
			continue
		}
		at, of, value := path+name, f.Type, reflect.Value{}
		if v.IsValid() {
			value = v.Field(i)
		}
		if of.Kind() == reflect.Pointer {
			of, value = of.Elem(), reflect.Value{}
		}
		switch {
		case of.Kind() == reflect.Struct:
			keys(value, of, at+".", into)
		case of.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Struct:
			into[at] = reflect.Value{}
			keys(reflect.Value{}, of.Elem(), at+"[].", into)
		default:
			into[at] = value
		}
	}
}

func allKeys() map[string]reflect.Value {
	all, c := map[string]reflect.Value{}, Default()
	keys(reflect.ValueOf(c), reflect.TypeOf(c), "", all)
	return all
}

// TestTheManualListsEveryKey holds docs/operations.md to the configuration: each
// key is there, no other is, and the defaults are those that hold. Keys of a
// provider are in docs/providers.md, and of its access tokens in docs/bearer.md.
func TestTheManualListsEveryKey(t *testing.T) {
	t.Parallel()
	have := allKeys()
	if len(have) < 100 {
		t.Fatalf("found only %d keys", len(have))
	}
	listed := map[string]bool{}
	for _, row := range rows(section(t, page(t, "operations.md"), "## Configuration")) {
		names, defaults := quotedIn(row[0]), quotedIn(row[1])
		for i, name := range names {
			listed[name] = true
			if _, is := have[name]; !is {
				t.Errorf("docs/operations.md: %s is no key", name)
			} else if len(defaults) == len(names) && strings.Trim(quoted.ReplaceAllString(row[1], ""), ", ") == "" && !isDefault(have[name], defaults[i]) {
				t.Errorf("docs/operations.md: %s has the default %v, not %q", name, have[name], defaults[i])
			}
		}
		for _, name := range quotedIn(row[2]) {
			if _, is := have[name]; is && strings.Contains(name, "[]") {
				listed[name] = true
			}
		}
	}
	for _, x := range []struct{ page, heading, prefix string }{
		{"bearer.md", "## Settings", "providers[].bearer."}, {"providers.md", "## Settings", "providers[]."},
	} {
		for _, row := range rows(section(t, page(t, x.page), x.heading)) {
			for _, name := range quotedIn(row[0]) {
				listed[x.prefix+name] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if !listed[name] {
			t.Errorf("no page of docs has a row for the key %s", name)
		}
	}
}

// isDefault reports whether a default is what the manual says; what cannot be said in
// one word is the reader's.
func isDefault(v reflect.Value, said string) bool {
	if !v.IsValid() {
		return true
	}
	if d, ok := v.Interface().(time.Duration); ok {
		want, err := time.ParseDuration(said)
		return err == nil && d == want
	}
	return fmt.Sprint(v.Interface()) == said
}

// TestTheManualListsEveryVariable looks for what is read from the environment.
func TestTheManualListsEveryVariable(t *testing.T) {
	t.Parallel()
	text := section(t, page(t, "operations.md"), "### Environment")
	for _, name := range []string{redisVariable, postgresVariable, "ZITADEL_AUTHORITY", "ZITADEL_CLIENT_ID", "ZITADEL_PROJECT_ID", "GATE_ENVOY", "GATE_TIMER_SLACK",
		"TRUST_POMERIUM_HEADERS", "GOGC", "GOMEMLIMIT", "GOMAXPROCS", "NOTIFY_SOCKET", "WATCHDOG_USEC", "HTTPS_PROXY"} {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("docs/operations.md does not tell of %s", name)
		}
	}
}

// TestTheManualsConfigurationsAreRight reads every block of gate.yaml in docs. It
// opens none of the files that are named there.
func TestTheManualsConfigurationsAreRight(t *testing.T) {
	t.Parallel()
	block := regexp.MustCompile("(?s)\n```yaml\n(.*?)```")
	others := map[string]string{ // what begins like this is no part of gate.yaml
		"gate: ": "routes", "tls: {cert: /etc/tls/edge.crt": "routes",
	}
	read := 0
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "..", "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := filepath.Base(file); name == "policy.md" || name == "provisioner.md" {
			continue // rules' data, and another program's; each has a test beside it
		}
		for i, m := range block.FindAllStringSubmatch(page(t, filepath.Base(file)), -1) {
			if slices.ContainsFunc(slices.Collect(maps.Keys(others)), func(s string) bool { return strings.HasPrefix(m[1], s) }) {
				continue
			}
			c := Default()
			if err := strictyaml.Decode(fmt.Sprintf("%s, block %d", filepath.Base(file), i), []byte(m[1]), &c); err != nil {
				t.Error(err)
			}
			read++
		}
	}
	if read < 10 {
		t.Errorf("only %d blocks were read", read)
	}
}

// TestEveryScalarKeyHasItsVariable: docs/operations.md says so.
func TestEveryScalarKeyHasItsVariable(t *testing.T) {
	t.Parallel()
	least := []byte("cookie: {domain: .kappa4.com}\n")
	c, err := Parse("gate.yaml", append(least, "policy: {verify: {keys: [k.pem]}}\ndecisions: {file: d}\n"...),
		[]string{"GATE_DECISIONS_ALLOWS=0.25", "GATE_POLICY_VERIFY_REQUIRED=true", "GATE_SESSION_IDLE=2m", "GATE_LIMITS_MAX_KEYS=2000", "GATE_LOG_LEVEL=debug"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Decisions.Allows != 0.25 || c.Policy.Verify.Required == nil || !*c.Policy.Verify.Required || c.Session.Idle != 2*time.Minute || c.Limits.MaxKeys != 2000 || c.Log.Level != "debug" {
		t.Errorf("%+v", c)
	}
	for variable, says := range map[string]string{
		"GATE_DECISIONS_ALLOWS=half": "no number", "GATE_POLICY_VERIFY_REQUIRED=2": "neither true nor false", "GATE_PROVIDERS=x": "overrides no key", "GATE_DECISIONS_LABELS=x": "overrides no key",
	} {
		if _, err := Parse("gate.yaml", least, []string{variable}); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "GATE_PROVIDERS,") {
			t.Errorf("%s: %v, want %q", variable, err, says)
		}
	}
}
