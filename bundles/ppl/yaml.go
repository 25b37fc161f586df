package ppl

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"
)

// Bounds of what is read. Real files have some hundred routes.
const (
	// MaxSize is how many bytes a file may have.
	MaxSize  = 1 << 20
	maxNodes = 100_000 // with aliases spelt out
	maxDepth = 40
)

// errorf is a mistake in the file at a line.
func (im *importer) errorf(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", im.name, n.Line, fmt.Sprintf(format, args...))
}

// read parses the file and spells out its aliases.
func (im *importer) read(text []byte) (*yaml.Node, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("%s: more than %d bytes: is this the configuration?", im.name, MaxSize)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0 {
		return nil, fmt.Errorf("%s: it is empty; give Pomerium's config.yaml", im.name)
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", im.name, err)
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: more follows after the first YAML document; split the file", im.name)
	}
	left := maxNodes
	return im.plain(doc.Content[0], 0, &left)
}

// plain copies a node with its aliases spelt out, and refuses what a reader of
// the file might take otherwise: keys that are there twice, and merges.
func (im *importer) plain(n *yaml.Node, depth int, left *int) (*yaml.Node, error) {
	if *left--; *left < 0 {
		return nil, im.errorf(n, "more than %d values, aliases spelt out", maxNodes)
	}
	if depth > maxDepth {
		return nil, im.errorf(n, "values nest deeper than %d", maxDepth)
	}
	if n.Kind == yaml.AliasNode {
		return im.plain(n.Alias, depth+1, left)
	}
	out := &yaml.Node{Kind: n.Kind, Tag: n.ShortTag(), Value: n.Value, Line: n.Line, Style: n.Style}
	seen := map[string]bool{}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			switch {
			case c.Kind != yaml.ScalarNode:
				return nil, im.errorf(c, "a key that is no text")
			case c.ShortTag() == "!!merge":
				return nil, im.errorf(c, "<< is not read; write the keys out")
			case seen[c.Value]:
				return nil, im.errorf(c, "key %q is there twice", clip(c.Value))
			}
			seen[c.Value] = true
		}
		p, err := im.plain(c, depth+1, left)
		if err != nil {
			return nil, err
		}
		out.Content = append(out.Content, p)
	}
	return out, nil
}

// pair is a key of a mapping and its value.
type pair struct {
	key   string
	line  int
	value *yaml.Node
}

func pairs(n *yaml.Node) []pair {
	var out []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		out = append(out, pair{n.Content[i].Value, n.Content[i].Line, n.Content[i+1]})
	}
	return out
}

func isMap(n *yaml.Node) bool  { return n.Kind == yaml.MappingNode }
func isList(n *yaml.Node) bool { return n.Kind == yaml.SequenceNode }
func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// text is a scalar as text.
func (im *importer) text(n *yaml.Node, what string) (string, error) {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		return "", im.errorf(n, "%s: want text", what)
	}
	if len(n.Value) > 4096 {
		return "", im.errorf(n, "%s: %d bytes are too many", what, len(n.Value))
	}
	return n.Value, nil
}

// texts are a list of texts, or one.
func (im *importer) texts(n *yaml.Node, what string) ([]string, error) {
	if !isList(n) {
		s, err := im.text(n, what)
		return []string{s}, err
	}
	out := []string{}
	for _, c := range n.Content {
		s, err := im.text(c, what)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	if len(out) == 0 {
		return nil, im.errorf(n, "%s: the list is empty", what)
	}
	return out, nil
}

func (im *importer) boolean(n *yaml.Node, what string) (bool, error) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!bool" {
		if b, err := strconv.ParseBool(n.Value); err == nil {
			return b, nil
		}
		return n.Value == "True" || n.Value == "TRUE", nil
	}
	return false, im.errorf(n, "%s: want true or false", what)
}

func (im *importer) duration(n *yaml.Node, what string) (time.Duration, error) {
	s, err := im.text(n, what)
	if err != nil {
		return 0, err
	}
	if s == "0" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, im.errorf(n, "%s: %q is no duration such as 30s", what, clip(s))
	}
	return d, nil
}

// clip keeps messages short and printable.
func clip(s string) string {
	const most = 60
	if len(s) > most {
		s = s[:most] + "…"
	}
	return s
}
