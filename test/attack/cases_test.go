package attack

import (
	_ "embed"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"
)

//go:embed cases.txt
var caseList string

// families are the cases there are: R1 to R10, P1 to P15, and so on.
var families = []struct {
	letter string
	last   int
}{{"R", 10}, {"P", 15}, {"H", 15}, {"O", 5}, {"W", 9}, {"A", 21}, {"S", 12}, {"L", 9}, {"B", 8}}

// entry is one line of cases.txt: "ID covered TestName" or "ID later why".
type entry struct {
	covered bool
	rest    string
}

// listed reads cases.txt and fails for a line that is not of its form, for an
// id that is missing, twice or unknown.
func listed(t *testing.T) map[string]entry {
	t.Helper()
	known := map[string]bool{}
	for _, f := range families {
		for i := 1; i <= f.last; i++ {
			known[fmt.Sprintf("%s%d", f.letter, i)] = true
		}
	}
	list := map[string]entry{}
	for line := range strings.Lines(caseList) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, rest, _ := strings.Cut(line, " ")
		state, rest, _ := strings.Cut(rest, " ")
		_, twice := list[id]
		if !known[id] || twice || rest == "" || state != "covered" && state != "later" {
			t.Errorf("cases.txt: %q: want each known id once, as `ID covered TestName` or `ID later why`", line)
			continue
		}
		list[id] = entry{state == "covered", rest}
	}
	for id := range known {
		if _, ok := list[id]; !ok {
			t.Errorf("cases.txt lacks %s", id)
		}
	}
	return list
}

// attack is one case of the list. Its subtest is named by the id.
type attack struct {
	id  string
	run func(*testing.T, *siege)
}

// roll is which cases ran, by the name of their subtest.
type roll struct {
	mu  sync.Mutex
	ran map[string]string
}

// lay runs the cases one after the other; nil keeps no roll of them.
func (r *roll) lay(t *testing.T, s *siege, attacks []attack) {
	for _, a := range attacks {
		t.Run(a.id, func(t *testing.T) {
			r.tick(a.id, t.Name())
			a.run(t, s)
		})
	}
}

func (r *roll) tick(id, name string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ran[id] = name
}

// compare holds what ran against cases.txt. A case that is `later` may run in
// part; its line says what is missing.
func (r *roll) compare(t *testing.T, list map[string]entry) {
	t.Helper()
	for id, name := range r.ran {
		if e, ok := list[id]; !ok || e.covered && e.rest != name {
			t.Errorf("%s ran as %s, which is not what cases.txt says: %+v", id, name, e)
		}
	}
	if run := flag.Lookup("test.run"); len(r.ran) == 0 || run != nil && strings.Contains(run.Value.String(), "/") {
		return // only some were asked for, or none could begin
	}
	for id, e := range list {
		if e.covered && r.ran[id] == "" {
			t.Errorf("cases.txt says that %s is covered by %s, and no such test ran", id, e.rest)
		}
	}
}
