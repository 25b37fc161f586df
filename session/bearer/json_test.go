package bearer

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// standard is what encoding/json makes of a text; ok is false if that is no
// single object.
func standard(b []byte) (m map[string]any, ok bool) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if d.Decode(&m) != nil || m == nil {
		return nil, false
	}
	return m, len(bytes.TrimLeft(b[d.InputOffset():], " \t\r\n")) == 0
}

func TestObjectsAreReadAsTheStandardLibraryDoes(t *testing.T) {
	for _, text := range []string{
		`{}`, ` { } `, `{"a":1}`, `{"a":-0.5e+10,"b":[1,2,[]],"c":{"d":null}}`, `{"a":"\u00e9\n\"","\u0062":true,"c":false}`,
		`{"a":"\ud83d\ude00"}`, "{\"a\":\"\u00e9\"}", `{"a":12345678901234567890}`, "{\n\t\"a\" :\r 1 }", `{"":0}`,
		strings.Repeat(`{"a":`, 15) + `{}` + strings.Repeat(`}`, 15),
	} {
		got, err := parseObject(text)
		want, ok := standard([]byte(text))
		if err != nil || !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestObjectsThatAreRefused(t *testing.T) {
	for _, text := range []string{
		``, `null`, `[]`, `"a"`, `{`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{"a":1 "b":2}`, `{a:1}`, `{'a':1}`, `{"a":01}`, `{"a":1.}`, `{"a":.5}`,
		`{"a":+1}`, `{"a":1e}`, `{"a":-}`, `{"a":NaN}`, `{"a":tru}`, `{"a":"b}`, `{"a":"\x"}`, `{"a":"\`, `{"a":"\u12"}`, "{\"a\":\"\n\"}", "{\"a\":\"\x00\"}",
		`{}{}`, `{} x`, "\ufeff{}", "{\"a\":\"\xff\"}", `{"a":[1,]}`, `{"a":[1`, `{"a":[}`, "{\"a\":1}\x00", "{\v}",
		`{"a":1,"a":1}`, `{"a":1,"\u0061":1}`, `{"a":[{"b":1,"b":1}]}`,
		strings.Repeat(`{"a":`, 16) + `{}` + strings.Repeat(`}`, 16), `{"a":` + strings.Repeat(`[`, 30_000),
	} {
		if m, err := parseObject(text); err == nil {
			t.Errorf("%.60q is taken as %v", text, m)
		}
	}
}

// FuzzObject holds parseObject to taking nothing that encoding/json does not
// take, and to the same result.
func FuzzObject(f *testing.F) {
	f.Add([]byte(`{"a":[1,-0.5e+3,"x\u00e9",true,false,null,{}],"b":{"c":"d"}}`))
	f.Add([]byte(`{"a":1,"a":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseObject(string(b))
		if err != nil {
			return
		}
		if want, ok := standard(b); !ok || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %v, want %v", b, got, want)
		}
	})
}
