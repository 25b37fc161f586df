package route_test

import (
	"strings"
	"testing"
)

func TestDiffSpeaksOfWhatChanged(t *testing.T) {
	t.Parallel()
	f := parse(t, minimal)
	if d := f.Diff(parse(t, "# the same in other words\n"+strings.Replace(minimal, "{app: 'app:3000'}", "{app: {address: ['app:3000'], connect_timeout: 2s}}", 1))); len(d) != 0 {
		t.Errorf("the same file gives %+v", d)
	}
	app := "{name: app, prefix: /, upstream: app}"
	for name, c := range map[string]struct{ fresh, want string }{
		"Timeout":     {"{name: app, prefix: /, upstream: app, timeout: 3s}", "changed route app timeout 15s>3s false"},
		"Public":      {"{name: app, prefix: /, upstream: app, public: true}", "changed route app public >public: nobody is asked true"},
		"Match":       {"{name: app, prefix: [/, /b], upstream: app}", "changed route app match prefix />prefix /b, prefix / false"},
		"Redirect":    {"{name: app, prefix: /, redirect: {path: /x}}", "changed route app to upstream app>redirect"},
		"Renamed":     {"{name: web, prefix: /, upstream: app}", "removed route app"},
		"AddedPublic": {app + "\n  - {name: open, path: /open, upstream: app, public: true}", "added route open  >public: nobody is asked, http://app.test:8080, path /open, upstream app true"},
	} {
		var lines []string
		for _, d := range f.Diff(parse(t, strings.Replace(minimal, app, c.fresh, 1))) {
			lines = append(lines, strings.Join([]string{d.Kind, d.What, d.Name, d.Field, d.Old + ">" + d.New, map[bool]string{true: "true", false: "false"}[d.Opens]}, " "))
		}
		if all := strings.Join(lines, "\n"); !strings.Contains(all, c.want) {
			t.Errorf("%s gave\n%s\nwant %s", name, all, c.want)
		}
	}
	open := strings.Replace(minimal, app, "{name: app, prefix: /b, upstream: app, public: true}", 1)
	wider := strings.Replace(open, "/b,", "/,", 1)
	if d := parse(t, open).Diff(parse(t, wider)); len(d) != 1 || !d[0].Opens {
		t.Errorf("a public route that matches more is %+v", d)
	}
}
