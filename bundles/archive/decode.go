package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// maxDepth bounds how deep data nests: evaluation walks it on the stack.
const maxDepth = 64

var errTooDeep = fmt.Errorf("data nests deeper than %d", maxDepth)

// DecodeYAML reads one YAML document; yaml.v3 refuses keys that are there twice
// and aliases that expand without bound. It takes up to 450
// times the memory of its text: a bundle has at most MaxYAML of it.
func DecodeYAML(text []byte) (any, error) { return decodeYAML(text, newBudget()) }

func decodeYAML(text []byte, b *budget) (any, error) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	var more any
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("more follows after the first YAML document")
	}
	return yamlValue(v, 0, b)
}

// yamlValue turns what yaml.v3 decodes into JSON values. Each alias has become
// values of its own by then, 400,000 of a few bytes.
func yamlValue(v any, depth int, b *budget) (any, error) {
	if depth > maxDepth {
		return nil, errTooDeep
	}
	if err := b.spend(costValue); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case nil, bool:
		return v, nil
	case string:
		return v, b.spend(len(v))
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
			x, err := yamlValue(v[i], depth+1, b)
			if err != nil {
				return nil, err
			}
			v[i] = x
		}
		return v, nil
	case map[string]any:
		room, n, err := 0, 0, b.spend(costObject)
		for k := range v {
			if err == nil {
				room, err = b.member(k, n, room)
			}
			if err != nil {
				return nil, err
			}
			n++
			x, err := yamlValue(v[k], depth+1, b)
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
