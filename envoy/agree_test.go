package envoy_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/authz/route"
)

// segments and tricks are what paths are made of: those that files name, and
// those that clients send to be read in two ways.
var (
	segments = []string{"a", "b", "ab", "A", "a.b", "a-b", "x~", "a;v=1", "%41", "%20", "a%20b", "...", "a+b", "@", "a=b,c", "1"}
	tricks   = []string{
		"..", ".", "", "%2e", "%2E%2e", ".%2e", "%2f", "%5c", `\`, "..;", "..;a=b", ".;", "%00", "%0a", "%zz", "%", "%2", "%252e", "%252f", "%25",
		"%c0%ae", "%7f", "%2561", "%61", "%7e", "%3b", "..%3b", "%3f", "%23", "|", "{}", `"`, "<", "^", "`", "a|b", "%e6%97%a5", "'", "*", "(a)", "%2b",
		"%2d", "%5f", "%21", `..\`, "%25%32%65", "%2525", "..a", ".;/..", "%2e;", ".%2e;", "%2e.;x", "a%2f..", `..;\`, "%00..", "%%32e", "%2%65",
	}
	expressions = []string{"/a/[^/]+", "/[ab]/b", `/.*\.b`, "/a(/b)?", "/(a|b)/(a|b)", "/[a-c]{1,2}", "/a.*", `/\w+`, "/(?i)ab", `/x[[:punct:]].*`, "/a%20b"}
)

const agreeHead = "gate: http://gate.test:8080\ncheck_headers: [x-test-id]\nupstreams: {up: 'unix:%[1]s/up.sock'}\nhosts:\n- origin: http://gate.test:8080\n  routes:\n  - {name: gate, prefix: /, upstream: gate}\n"

// randomHost gives a host with random routes, some of them public. The file
// refuses those that nothing can reach, so it is drawn until it is taken.
func randomHost(r *rand.Rand, i int) string {
	name := fmt.Sprintf([]string{"h%d.test", "*.h%d.test", "*.w.h%d.test"}[i%3], i/3)
	for {
		var b strings.Builder
		fmt.Fprintf(&b, "- origin: http://%s:8080\n  routes:\n", name)
		for j := range 1 + r.IntN(9) {
			fmt.Fprintf(&b, "  - {name: r%d-%d, upstream: up, %s}\n", i, j, randomMatch(r))
		}
		if _, err := route.Parse("random", []byte(strings.Replace(agreeHead, "%[1]s", "", 1)+b.String())); err == nil {
			return b.String()
		}
	}
}

func randomMatch(r *rand.Rand) string {
	priority := fmt.Sprintf(", priority: %d", []int{0, 0, 0, 1, -1}[r.IntN(5)])
	if r.IntN(4) == 0 {
		return fmt.Sprintf("regex: '%s'", expressions[r.IntN(len(expressions))]) + priority
	}
	var s []string
	for range r.IntN(4) {
		s = append(s, segments[r.IntN(7)])
	}
	public := []string{"", "", ", public: true"}[r.IntN(3)]
	return []string{"path", "prefix"}[r.IntN(2)] + ": '/" + strings.Join(s, "/") + "'" + priority + public
}

func randomPath(r *rand.Rand) string {
	var s []string
	for range 1 + r.IntN(4) {
		if r.IntN(3) == 0 {
			s = append(s, tricks[r.IntN(len(tricks))])
		} else {
			s = append(s, segments[r.IntN(len(segments))])
		}
	}
	return "/" + strings.Join(s, []string{"/", "/", "/", "//"}[r.IntN(4)])
}

// caller asks over one connection, which it opens again when Envoy closes it.
type caller struct {
	addr string
	conn net.Conn
	br   *bufio.Reader
}

func (c *caller) ask(t *testing.T, host, target, id string, headers ...string) int {
	t.Helper()
	if c.conn == nil {
		var err error
		if c.conn, err = net.Dial("tcp", c.addr); err != nil {
			t.Fatal(err)
		}
		c.br = bufio.NewReader(c.conn)
	}
	_ = c.conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := fmt.Fprintf(c.conn, "GET %s HTTP/1.1\r\nHost: %s\r\nX-Test-Id: %s\r\n%s\r\n", target, host, id, strings.Join(append(headers, ""), "\r\n")); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(c.br, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	if res.Close {
		c.conn.Close()
		c.conn = nil
	}
	return res.StatusCode
}

// The gate's own matching, by which it shows people what Envoy will do, agrees
// with Envoy on random files and paths, and nothing but a public path itself
// reaches an upstream unasked.
func TestMatchingAgreesWithEnvoy(t *testing.T) {
	t.Parallel()
	const hosts, requests = 45, 1500
	r := rand.New(rand.NewPCG(7, 11))
	text := agreeHead
	for i := range hosts {
		text += randomHost(r, i)
	}
	e := startEdgeWith(t, text)
	f, err := route.Parse("random", inDir(text, e.dir))
	if err != nil {
		t.Fatal(err)
	}
	c := &caller{addr: e.addr}
	matched := map[string]int{}
	for i := range requests {
		host := fmt.Sprintf([]string{"h%d.test", "x.h%d.test", "x.y.h%d.test", "x.w.h%d.test", "w.h%d.test", "H%d.TEST", "h%d.test.x", "x_y.h%d.test"}[r.IntN(8)], r.IntN(hosts/3))
		target, id := randomPath(r), fmt.Sprint("agree-", i)
		want := expected(f, host, target)
		status := c.ask(t, host, target, id)
		got := fmt.Sprint(status)
		if checks := e.authz.seen(id); len(checks) == 1 {
			got = "asked " + checks[0].GetAttributes().GetContextExtensions()["route"]
		} else if ups := e.upstream.seen(id); len(ups) == 1 {
			got = "public " + ups[0].path
		}
		if want == "no host" && (status == 400 || status == 404) {
			want, got = "404", "404"
		}
		if got != want {
			t.Errorf("%s%s: Envoy %s, the gate says %s", host, target, got, want)
		}
		kind, _, _ := strings.Cut(want, " ")
		matched[kind]++
	}
	if matched["asked"] < 100 || matched["public"] < 50 || matched["400"] < 100 || matched["404"] < 100 {
		t.Errorf("the draw is lopsided: %v", matched)
	}
}

// expected is what the gate says that Envoy does.
func expected(f *route.File, host, target string) string {
	if h, _ := f.Match(host, "/"); h == nil {
		if strings.Contains(host, "_") && strings.Count(host, ".") > 1 {
			return "400" // below a wildcard, and no name
		}
		return "no host"
	}
	p, err := route.Normalise(target)
	if err != nil {
		return "400"
	}
	_, e := f.Match(host, p)
	switch {
	case e == nil:
		return "404"
	case e.Public:
		return "public " + p
	}
	return "asked " + e.Route.Name
}
