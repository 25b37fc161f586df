package arch

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// manual is what people read: the README, CONTRIBUTING and docs, by path.
func manual(t *testing.T) map[string]string {
	t.Helper()
	root := filepath.Join("..", "..")
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{}
	for _, f := range append(files, filepath.Join(root, "README.md"), filepath.Join(root, "CONTRIBUTING.md")) {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		rel, _ := filepath.Rel(root, f)
		pages[filepath.ToSlash(rel)] = string(text)
	}
	if len(pages) < 15 {
		t.Fatalf("found only %d pages; is the test in its place?", len(pages))
	}
	return pages
}

var (
	fenced  = regexp.MustCompile("(?ms)^```.*?^```$")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are the ends of a page's addresses, as GitHub makes them of headings.
func anchors(text string) []string {
	var all []string
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		all = append(all, strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(strings.TrimSpace(m[1])), ""), " ", "-"))
	}
	return all
}

func TestLinksOfTheManualLeadSomewhere(t *testing.T) {
	pages := manual(t)
	seen := 0
	for name, text := range pages {
		for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			seen++
			to, anchor, _ := strings.Cut(m[1], "#")
			target := name
			if to != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(name), to))
			}
			if _, err := os.Stat(filepath.Join("..", "..", target)); err != nil {
				t.Errorf("%s: the link %s leads to nothing", name, m[1])
			} else if anchor != "" && !slices.Contains(anchors(pages[target]), anchor) {
				t.Errorf("%s: %s has no heading for the link %s", name, target, m[1])
			}
		}
	}
	if seen < 50 {
		t.Errorf("found only %d links", seen)
	}
}

func TestEveryPageOfTheManualIsListed(t *testing.T) {
	pages := manual(t)
	for name := range pages {
		if dir, base := filepath.Split(name); dir == "docs/" && base != "README.md" && !strings.Contains(pages["docs/README.md"], "]("+base+")") {
			t.Errorf("docs/README.md does not list %s", base)
		}
	}
}

// TestCommandsOfTheManualAreRun: each block of commands of a page of docs is run
// by a script of cmd/gate, by its number. Those of the README are all run by
// TestTheReadmesTourRuns.
func TestCommandsOfTheManualAreRun(t *testing.T) {
	scripts, err := filepath.Glob(filepath.Join("..", "..", "cmd", "gate", "testdata", "script", "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	var run strings.Builder
	for _, f := range scripts {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		run.Write(text)
	}
	shell := regexp.MustCompile("(?ms)^```sh\n.*?^```")
	for name, text := range manual(t) {
		for i := range shell.FindAllString(text, -1) {
			line := fmt.Sprintf("\nmanual %s %d\n", filepath.Base(name), i)
			if strings.HasPrefix(name, "docs/") && !strings.Contains(run.String(), line) {
				t.Errorf("%s: no script runs the block of commands %d: put %q into one", name, i, strings.TrimSpace(line))
			}
		}
	}
}
