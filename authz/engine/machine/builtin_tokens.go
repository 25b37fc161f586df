package machine

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"strings"
)

// addTokens: io.jwt.decode reads a token and verifies nothing.
func (b *library) addTokens() {
	b.add("io.jwt.decode", func(f *Frame, a *operands) *Value {
		if a[0].kind != String || !f.spend(len(a[0].s)) {
			return decline
		}
		parts := strings.SplitN(a[0].s, ".", 4)
		if len(parts) != 3 {
			return decline
		}
		header := f.part64(parts[0])
		payload := f.part64(parts[1])
		signature, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
		if header == nil || payload == nil || err != nil || header.Field("cty") != nil || header.Field("enc") != nil {
			return decline // tokens within tokens and encrypted ones are OPA's
		}
		v := f.make(Array)
		v.elems = append(v.elems, header, payload, f.fresh(hex.EncodeToString(signature)))
		return v
	})
}

// part64 reads a JSON object in base64url, nil if it is anything else.
func (f *Frame) part64(s string) *Value {
	text, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var x map[string]any
	if err := d.Decode(&x); err != nil || x == nil {
		return nil
	}
	if _, err := d.Token(); err != io.EOF {
		return nil
	}
	v, err := Of(x)
	if err != nil {
		return nil
	}
	f.memory -= len(text) * 16 // small values take most room
	return v
}
