package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/neosc/gate/authz/engine"
	"go.yaml.in/yaml/v3"
)

// maxDepth bounds how deep data nests: evaluation walks it on the stack.
const maxDepth = 64

var errTooDeep = fmt.Errorf("data nests deeper than %d", maxDepth)

// DecodeJSON reads one JSON text; numbers are json.Number. Unlike encoding/json it refuses an object
// that names a key twice: the last would win in silence, and with it a role or
// an hour that the author does not see.
func DecodeJSON(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	v, err := jsonValue(d, 0)
	if err != nil {
		line := 1 + bytes.Count(text[:min(int(d.InputOffset()), len(text))], []byte("\n"))
		return nil, fmt.Errorf("line %d: %w", line, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more follows after the first JSON value")
	}
	return v, nil
}

func jsonValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errTooDeep
	}
	t, err := d.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		return jsonObject(d, depth)
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := jsonValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	}
	if n, ok := t.(json.Number); ok {
		return n, checkNumber(n)
	}
	return t, nil
}

func jsonObject(d *json.Decoder, depth int) (any, error) {
	m := map[string]any{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		k, ok := t.(string)
		if !ok {
			return nil, errors.New("an object's key is no string")
		}
		if _, twice := m[k]; twice {
			return nil, fmt.Errorf("key %q is there twice", k)
		}
		if m[k], err = jsonValue(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return m, err
}

func checkNumber(n json.Number) error {
	if !engine.ValidNumber(n) {
		return fmt.Errorf("number %.20s is out of range", n)
	}
	return nil
}

// DecodeYAML reads one YAML document; yaml.v3 refuses keys that are there twice
// and aliases that expand without bound.
func DecodeYAML(text []byte) (any, error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	var more any
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("more follows after the first YAML document")
	}
	return yamlValue(v, 0)
}

// yamlValue turns what yaml.v3 decodes into JSON values.
func yamlValue(v any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errTooDeep
	}
	switch v := v.(type) {
	case nil, bool, string:
		return v, nil
	case int:
		return json.Number(strconv.Itoa(v)), nil
	case int64:
		return json.Number(strconv.FormatInt(v, 10)), nil
	case uint64:
		return json.Number(strconv.FormatUint(v, 10)), nil
	case float64:
		n := json.Number(strconv.FormatFloat(v, 'g', -1, 64))
		return n, checkNumber(n)
	case []any:
		for i := range v {
			x, err := yamlValue(v[i], depth+1)
			if err != nil {
				return nil, err
			}
			v[i] = x
		}
		return v, nil
	case map[string]any:
		for k := range v {
			x, err := yamlValue(v[k], depth+1)
			if err != nil {
				return nil, err
			}
			v[k] = x
		}
		return v, nil
	default:
		return nil, fmt.Errorf("%v (%T) is not JSON: put it in quotes", v, v)
	}
}
