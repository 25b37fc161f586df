package strictyaml

import (
	"fmt"
	"slices"
	"strings"
)

// MaxProblems is how many problems one Report keeps; further ones are counted.
const MaxProblems = 10

// Problem is one thing wrong with a file.
type Problem struct {
	File string
	// Line counts from 1; 0 when the problem has no line.
	Line int
	// Text says what is wrong and the mend.
	Text string
}

// Error gives "file:line: text", the form that editors can jump to.
func (p Problem) Error() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
}

// Report gathers problems. The zero value is empty and ready. Not safe for
// concurrent use.
type Report struct {
	problems []Problem
	more     int
}

// Add notes a problem with a key of the mapping at w. A key that the mapping
// lacks is reported at the mapping's own line.
func (r *Report) Add(w Where, key, format string, args ...any) {
	r.add(w.file, w.Line(key), fmt.Sprintf(format, args...))
}

func (r *Report) add(file string, line int, text string) {
	if len(r.problems) >= MaxProblems {
		r.more++
		return
	}
	r.problems = append(r.problems, Problem{File: file, Line: line, Text: text})
}

// Err is nil when nothing was reported, else an *Errors.
func (r *Report) Err() error {
	if len(r.problems) == 0 {
		return nil
	}
	problems := slices.Clone(r.problems)
	slices.SortStableFunc(problems, func(a, b Problem) int { return a.Line - b.Line })
	return &Errors{Problems: problems, More: r.more}
}

// Errors is what Decode returns for a file with problems.
type Errors struct {
	// Problems has 1 to MaxProblems entries, in the order of the file.
	Problems []Problem
	// More counts those left out.
	More int
}

// Error gives one line per problem.
func (e *Errors) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	for _, p := range e.Problems {
		lines = append(lines, p.Error())
	}
	if e.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", e.More))
	}
	return strings.Join(lines, "\n")
}

// Where remembers on which lines a mapping and its keys stand. A struct with a
// field of this type gets it filled by Decode, so that checks made after
// decoding can name the line too.
type Where struct {
	file string
	line int
	keys map[string]int
}

// File is the file's name as given to Decode.
func (w Where) File() string { return w.file }

// Line is the line of a key, of an element of its list as "key[2]" or of a key
// below it as "key.sub"; the mapping's own line when it has no such key.
func (w Where) Line(key string) int {
	if l, ok := w.keys[key]; ok {
		return l
	}
	return w.line
}

// Has reports whether the mapping has the key, which tells an absent value
// from a zero one.
func (w Where) Has(key string) bool {
	_, ok := w.keys[key]
	return ok
}
