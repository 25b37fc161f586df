package decisionlog

import (
	"net/url"
	"slices"
	"strings"
)

// unfollowed names among what is masked the segments and parameters that do not
// follow from the path, where that is masked, cut or left out: policies that read
// them and not the path would be asked about others than were there.
func (r *Record) unfollowed() {
	if !r.hides(pathPointer) {
		return
	}
	segments, err := r.Request.ParsedPath()
	if err != nil || r.path == "" || !slices.Equal(segments, (&cursor{s: r.path}).texts()) {
		r.Masked = append(r.Masked, "/input/parsed_path")
	}
	_, query := r.Request.SplitPath()
	have, err := url.ParseQuery(query)
	if err != nil || r.query == "" {
		r.Masked = append(r.Masked, queryPointer)
		return
	}
	want, c := map[string][]string{}, &cursor{s: r.query}
	for name := range c.fields {
		want[name] = c.texts()
	}
	if c.err != nil {
		r.Masked = append(r.Masked, queryPointer)
		return
	}
	for name := range have {
		if _, there := want[name]; !there {
			want[name] = nil
		}
	}
	for name, values := range want {
		if p := queryPointer + "/" + escapePointer(name); !slices.Equal(values, have[name]) && !slices.Contains(r.Masked, p) {
			r.Masked = append(r.Masked, p)
		}
	}
}

// hides reports whether something of the input, or what it lies in, is left out
// or not the true value.
func (r *Record) hides(pointer string) bool {
	hidden := func(p string) bool {
		return p == pointer || strings.HasPrefix(pointer, p) && pointer[len(p)] == '/'
	}
	return slices.ContainsFunc(r.Erased, hidden) || slices.ContainsFunc(r.Masked, hidden)
}
