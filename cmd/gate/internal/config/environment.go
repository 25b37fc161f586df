package config

import (
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// envPrefix starts every variable that overrides a key: GATE_SESSION_STORE is
// session.store.
const envPrefix = "GATE_"

// noKeys are read elsewhere: GATE_ENVOY names Envoy's binary, GATE_TIMER_SLACK has
// gate serve leave its threads' (procs.Relax).
var noKeys = []string{"GATE_ENVOY", "GATE_TIMER_SLACK"}

// override lets the environment replace scalar keys. An unknown GATE_ variable
// is an error, since a misspelt one would silently leave a setting as it was.
func override(c *Config, environ []string) error {
	keys := map[string]reflect.Value{}
	variables(reflect.ValueOf(c).Elem(), envPrefix, keys)
	names := make([]string, 0, len(keys))
	for n := range keys {
		names = append(names, n)
	}
	sort.Strings(names)
	overrideRedis(c, environ)
	overridePostgres(c, environ)
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(noKeys, name) {
			continue
		}
		field, ok := keys[name]
		if !ok {
			return fmt.Errorf("environment: %s overrides no key; those that do are %s", name, strings.Join(names, ", "))
		}
		if err := set(field, value); err != nil {
			return fmt.Errorf("environment: %s: %w", name, err)
		}
	}
	return nil
}

// variables collects the settable scalar fields under their variable names.
func variables(v reflect.Value, prefix string, into map[string]reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() {
			continue
		}
		name := prefix + strings.ToUpper(f.Tag.Get("yaml"))
		if f.Type.Kind() == reflect.Struct {
			variables(v.Field(i), name+"_", into)
			continue
		}
		if scalar(f.Type) {
			into[name] = v.Field(i)
		}
	}
}

// scalar reports whether one word can say a key's value. A pointer is to a key of
// which it matters that it was left out.
func scalar(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Float64:
		return true
	case reflect.Pointer:
		return t.Elem().Kind() == reflect.Bool
	default:
		return false
	}
}

func set(field reflect.Value, value string) error {
	switch field.Interface().(type) {
	case time.Duration:
		d, err := time.ParseDuration(value)
		if err != nil {
			return fmt.Errorf("%q is no duration; write it like 30s or 8h", value)
		}
		field.SetInt(int64(d))
		return nil
	}
	switch field.Kind() {
	case reflect.Pointer:
		v := reflect.New(field.Type().Elem())
		if err := set(v.Elem(), value); err != nil {
			return err
		}
		field.Set(v)
	case reflect.String:
		field.SetString(value)
	case reflect.Bool:
		b, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", value)
		}
		field.SetBool(b)
	case reflect.Int:
		n, err := strconv.Atoi(value)
		if err != nil {
			return fmt.Errorf("%q is no whole number", value)
		}
		field.SetInt(int64(n))
	case reflect.Float64:
		x, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("%q is no number", value)
		}
		field.SetFloat(x)
	default:
		return fmt.Errorf("cannot be set from the environment")
	}
	return nil
}
