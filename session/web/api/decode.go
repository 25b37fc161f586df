package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// maxBody bounds a request; a password of 1 KiB, escaped, is its largest part.
	maxBody = 16 << 10
	// maxDepth bounds what a request nests: there is no use for more than a list
	// in an object.
	maxDepth = 4
	// maxFields bounds those of one object, each of which is compared with all.
	maxFields = 64
)

// decode reads one JSON object into a struct, all of whose fields have JSON
// names. Its type is not one that a page may send to a foreign origin without
// asking first.
func decode(w http.ResponseWriter, r *http.Request, into any) error {
	if t, params, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" || !utf8Charset(params) {
		return problem(http.StatusUnsupportedMediaType, "request_invalid", "Send application/json.")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problem(http.StatusRequestEntityTooLarge, "request_invalid", "The body is larger than %d bytes.", maxBody)
	} else if err != nil {
		return problem(http.StatusBadRequest, "request_invalid", "The body did not arrive whole.")
	}
	names := fieldNames(into)
	if err := checkJSON(body, names); err != nil {
		return problem(http.StatusBadRequest, "request_invalid", "The body: %s. It is one JSON object with %s.", err, strings.Join(names, ", "))
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		e, ok := errors.AsType[*json.UnmarshalTypeError](err)
		if !ok {
			return problem(http.StatusBadRequest, "request_invalid", "The body is no JSON object with %s.", strings.Join(names, ", "))
		}
		return problem(http.StatusBadRequest, "request_invalid", "The body: %s cannot be a %s.", e.Field, e.Value)
	}
	return nil
}

func utf8Charset(params map[string]string) bool {
	c, there := params["charset"]
	return !there || strings.EqualFold(c, "utf-8")
}

// fieldNames are the JSON names of a struct's fields, in their order.
func fieldNames(into any) []string {
	var out []string
	t := reflect.TypeOf(into).Elem()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		out = append(out, name)
	}
	return out
}

// checkJSON refuses what encoding/json would read in a way of its own: doubled
// names, of which it takes the last; names in another case; null, which it takes
// for nothing at all; bytes that are not UTF-8, which it replaces.
func checkJSON(body []byte, names []string) error {
	if !utf8.Valid(body) {
		return errors.New("it is not UTF-8")
	}
	if first := bytes.TrimLeft(body, " \t\r\n"); len(first) == 0 || first[0] != '{' {
		return errors.New("it does not begin with {")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := walk(d, 0, names); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the object")
	}
	return nil
}

// walk reads one value. names, if not nil, are those that an object may have.
func walk(d *json.Decoder, depth int, names []string) error {
	t, err := d.Token()
	if err != nil {
		return errors.New("it is not well-formed")
	}
	open, nested := t.(json.Delim)
	switch {
	case t == nil:
		return errors.New("there is a null in it; leave out what has no value")
	case !nested:
		return nil
	case depth == maxDepth:
		return fmt.Errorf("it nests more than %d deep", maxDepth)
	}
	var seen []string
	for d.More() {
		if open == '{' {
			key, err := d.Token()
			name, ok := key.(string)
			switch {
			case err != nil || !ok:
				return errors.New("it is not well-formed")
			case len(seen) == maxFields:
				return fmt.Errorf("an object has more than %d fields", maxFields)
			case slices.Contains(seen, name):
				return fmt.Errorf("%q is there twice", clip(name))
			case names != nil && !slices.Contains(names, name):
				return fmt.Errorf("there is no field %q", clip(name))
			}
			seen = append(seen, name)
		}
		if err := walk(d, depth+1, nil); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return errors.New("it is not well-formed")
	}
	return nil
}

// parameters returns the query if it has only known names, each once.
func parameters(r *http.Request, known ...string) (url.Values, error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, problem(http.StatusBadRequest, "request_invalid", "The query is not well-formed.")
	}
	for name, values := range q {
		switch {
		case !slices.Contains(known, name):
			return nil, problem(http.StatusBadRequest, "request_invalid", "There is no parameter %q here%s.", clip(name), thereAre(known))
		case len(values) != 1:
			return nil, problem(http.StatusBadRequest, "request_invalid", "The parameter %s is there %d times.", name, len(values))
		case !utf8.ValidString(values[0]):
			return nil, problem(http.StatusBadRequest, "request_invalid", "The parameter %s is not UTF-8.", name)
		}
	}
	return q, nil
}

func thereAre(known []string) string {
	if len(known) == 0 {
		return ""
	}
	return "; there are " + strings.Join(known, ", ")
}

// clip shortens what a client sent, for an error text.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// sentence makes one of an error's text.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}
