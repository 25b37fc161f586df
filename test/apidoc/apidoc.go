// Package apidoc holds replies against an OpenAPI 3.1 document: whether it says
// that there are such replies, and whether they are as it says.
package apidoc

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// Doc is a document. Its methods may be called at once.
type Doc struct {
	root    map[string]any
	schemas map[string]*jsonschema.Schema // by the JSON pointer of each media type's schema
}

// Read reads a document and compiles its schemas, which must be right by JSON
// Schema 2020-12, the dialect of OpenAPI 3.1.
func Read(document []byte) (*Doc, error) {
	var in any
	if err := yaml.Unmarshal(document, &in); err != nil {
		return nil, err
	}
	// As JSON has it, numbers included.
	text, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		return nil, err
	}
	root, ok := parsed.(map[string]any)
	if !ok || root["openapi"] != "3.1.0" {
		return nil, fmt.Errorf("no OpenAPI 3.1.0 document")
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("doc.json", root); err != nil {
		return nil, err
	}
	d := &Doc{root: root, schemas: map[string]*jsonschema.Schema{}}
	for _, pointer := range d.pointers() {
		if d.schemas[pointer], err = c.Compile("doc.json#" + pointer); err != nil {
			return nil, fmt.Errorf("%s: %w", pointer, err)
		}
	}
	return d, nil
}

// Operations lists "METHOD /path/{of}/template", sorted.
func (d *Doc) Operations() []string {
	var out []string
	for path, item := range object(d.root, "paths") {
		for method := range item.(map[string]any) {
			if method != "parameters" {
				out = append(out, strings.ToUpper(method)+" "+path)
			}
		}
	}
	slices.Sort(out)
	return out
}

// Public reports whether an operation needs nobody signed in.
func (d *Doc) Public(operation string) bool {
	method, path, _ := strings.Cut(operation, " ")
	security, there := object(d.root, "paths", path, strings.ToLower(method))["security"].([]any)
	return there && len(security) == 0
}

// pointers are those of all schemas of replies and requests.
func (d *Doc) pointers() []string {
	var out []string
	var find func(at string, v any)
	find = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, x := range v {
				here := at + "/" + escape(name)
				if name == "schema" {
					out = append(out, here)
					continue
				}
				find(here, x)
			}
		case []any:
			for i, x := range v {
				find(at+"/"+strconv.Itoa(i), x)
			}
		}
	}
	find("/paths", d.root["paths"])
	find("/components/responses", object(d.root, "components")["responses"])
	return out
}

func escape(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

func object(v any, names ...string) map[string]any {
	for _, n := range names {
		m, _ := v.(map[string]any)
		v = m[n]
	}
	m, _ := v.(map[string]any)
	return m
}

// Operation is the template that a path of a request is an instance of: the one
// with the fewest parameters. "" if there is none.
func (d *Doc) Operation(method, path string) string {
	best, fewest := "", 100
	for _, o := range d.Operations() {
		m, template, _ := strings.Cut(o, " ")
		if n := strings.Count(template, "{"); m == method && n < fewest && instance(path, template) {
			best, fewest = o, n
		}
	}
	return best
}

func instance(path, template string) bool {
	p, t := strings.Split(path, "/"), strings.Split(template, "/")
	return slices.EqualFunc(p, t, func(a, b string) bool { return a == b || strings.HasPrefix(b, "{") && a != "" })
}

// Check holds a reply against what the document says of the operation.
func (d *Doc) Check(method, path string, status int, header http.Header, body []byte) error {
	operation := d.Operation(method, path)
	if operation == "" {
		return fmt.Errorf("the document has no %s %s", method, path)
	}
	_, template, _ := strings.Cut(operation, " ")
	responses := object(d.root, "paths", template, strings.ToLower(method), "responses")
	name := strconv.Itoa(status)
	if _, ok := responses[name]; !ok {
		name = name[:1] + "XX"
	}
	response, ok := responses[name].(map[string]any)
	if !ok {
		return fmt.Errorf("%s: the document has no reply %d", operation, status)
	}
	pointer := "/paths/" + escape(template) + "/" + strings.ToLower(method) + "/responses/" + name
	if ref, ok := response["$ref"].(string); ok {
		pointer = strings.TrimPrefix(ref, "#")
		response = object(d.root, strings.Split(pointer[1:], "/")...)
	}
	content, typed := response["content"].(map[string]any)
	if !typed {
		if len(body) > 0 {
			return fmt.Errorf("%s: the reply %d has a body: %.200s", operation, status, body)
		}
		return nil
	}
	mediaType, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil || content[mediaType] == nil {
		return fmt.Errorf("%s: the reply %d is of the type %q", operation, status, header.Get("Content-Type"))
	}
	schema := d.schemas[pointer+"/content/"+escape(mediaType)+"/schema"]
	if schema == nil {
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(body)))
	if err == nil {
		err = schema.Validate(value)
	}
	if err != nil {
		return fmt.Errorf("%s: the reply %d: %w\n%.400s", operation, status, err, body)
	}
	return nil
}
