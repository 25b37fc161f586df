package route

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Match finds the entry that Envoy takes for a host name and a path without its
// query, both as Envoy leaves them (see Normalise): of the host, the first entry
// that matches. It is for showing people what Envoy will do, never for deciding:
// decisions go by the name that Envoy sends. h is nil for an unknown host, e for
// a path that no route of the host has.
func (f *File) Match(host, p string) (h *Host, e *Entry) {
	i := slices.IndexFunc(f.hosts, func(h Host) bool { return strings.EqualFold(h.Name, host) })
	if i < 0 {
		return nil, nil
	}
	h = &f.hosts[i]
	for i := range h.Entries {
		m := h.Entries[i].Match
		if m.Path != "" && m.Path == p || m.Prefix == "/" || m.Prefix != "" && (p == m.Prefix || strings.HasPrefix(p, m.Prefix+"/")) {
			return h, &h.Entries[i]
		}
	}
	return h, nil
}

// Normalise returns a path without its query as Envoy leaves it: dot segments
// resolved, slashes merged. The error is for one that Envoy refuses with 400.
func Normalise(p string) (string, error) {
	if !strings.HasPrefix(p, "/") {
		return "", fmt.Errorf("the path %q does not begin with a slash", clip(p))
	}
	for i := range len(p) {
		if p[i] <= ' ' || p[i] == 0x7f {
			return "", fmt.Errorf("the path has a space or control character; escape it")
		}
		if p[i] != '%' {
			continue
		}
		if i+2 >= len(p) || !isHex(p[i+1]) || !isHex(p[i+2]) {
			return "", fmt.Errorf("a percent sign escapes nothing: Envoy answers 400 to that by itself")
		}
		switch strings.ToLower(p[i+1 : i+3]) {
		case "2f", "5c":
			return "", fmt.Errorf("the path has an escaped slash: Envoy answers 400 to that by itself")
		}
	}
	clean := path.Clean(strings.ReplaceAll(p, `\`, "/"))
	if last := p[strings.LastIndexByte(p, '/')+1:]; clean != "/" && (last == "" || last == "." || last == "..") {
		clean += "/"
	}
	return clean, nil
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
