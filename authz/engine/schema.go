package engine

import (
	"reflect"
	"strings"
)

// Schema returns the JSON schema of the input document, made from the Go types.
// It keeps to the part of JSON Schema that OPA's type checker reads. Objects
// with named fields are closed, so that a misspelt field in a policy is an
// error and not an undefined that quietly denies or allows; maps (claims,
// headers, settings) are open.
func Schema() map[string]any {
	s := schemaOf(reflect.TypeFor[Input]())
	s["$schema"] = "http://json-schema.org/draft-07/schema#"
	s["title"] = "Input"
	return s
}

func schemaOf(t reflect.Type) map[string]any {
	switch t.Kind() {
	case reflect.Pointer:
		if t.Elem().NumField() == 0 {
			return map[string]any{"type": "null"}
		}
		return schemaOf(t.Elem())
	case reflect.Struct:
		return schemaOfStruct(t)
	case reflect.Map:
		s := map[string]any{"type": "object"}
		if t.Elem().Kind() == reflect.Interface {
			s["additionalProperties"] = true
		} else {
			s["additionalProperties"] = schemaOf(t.Elem())
		}
		return s
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int:
		return map[string]any{"type": "integer"}
	default:
		return map[string]any{"type": "string"}
	}
}

func schemaOfStruct(t reflect.Type) map[string]any {
	properties := map[string]any{}
	required := []any{}
	for f := range t.Fields() {
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		properties[name] = schemaOf(f.Type)
		if opts != "omitempty" {
			required = append(required, name)
		}
	}
	return map[string]any{
		"type":                 "object",
		"title":                t.Name(),
		"properties":           properties,
		"required":             required,
		"additionalProperties": false,
	}
}
