package archive_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/neosc/gate/bundles/archive"
)

// What is read is what encoding/json reads, and what that refuses is refused.
func FuzzDecodeJSONAgreesWithEncodingJSON(f *testing.F) {
	for _, s := range []string{
		`{"a": [1, -2.5e3, null, true, false, "x\u00e9\n", {}], "": []}`, `{"a": 1,}`, `[1 2]`, `"\xff"`, `"\ud800"`, `01`, `-`, `1e`, `{"a" 1}`, `[`, `"`, `"\`, `nulls`,
		` {} x`, "\"a\nb\"", `{"a":1,"a":2}`, `[,]`, `{,}`, ``, `1.`, `"\/\b\f"`, "\u00a01", `{"A":1,"a":2}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := archive.DecodeJSON(text)
		var want any
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		wantErr := d.Decode(&want)
		if wantErr == nil && d.More() {
			return
		}
		if err == nil && (wantErr != nil || !json.Valid(text) || !reflect.DeepEqual(got, want)) {
			t.Fatalf("%q: read %#v, want %#v, %v", text, got, want, wantErr)
		}
	})
}

func TestDecodeJSONRefuses(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"": "unexpected EOF", "{": "unexpected EOF", `{"a":1,}`: "stands where a key is expected", "[1 2]": "a comma or ]", "[,]": "stands where a value", "01": "is no number",
		"\"a\x01\"": "control character", "{}{}": "more follows", `{"a":1,"a":1}`: "twice", "\n\n!": "line 3", `"\q"`: "invalid character", "nul": "stands where a value",
	} {
		if _, err := archive.DecodeJSON([]byte(text)); err == nil || !bytes.Contains([]byte(err.Error()), []byte(says)) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
}
