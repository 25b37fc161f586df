package decisionlog

import (
	"slices"

	"github.com/neosc/gate/authz"
)

// headers writes those that hold no secret by their name, repeated ones joined
// as policy sees them (RFC 9110, 5.3).
func (e *encoder) headers(r *authz.Request) {
	start, different := len(e.b), ascending(r.Headers)
	for i := range r.Headers {
		name, value := r.Headers[i].Name, r.Headers[i].Value
		common, secret := e.looks[i] == commonName, e.looks[i] == secretName
		n := i + 1 // of names so far
		if !different {
			if e.written(name) {
				continue
			}
			n = len(e.seen)
		}
		if secret || n > maxHeaders {
			e.erased = addPointer(e.erased, headerPointer, name)
			continue
		}
		if len(e.b) > start {
			e.b = append(e.b, ',')
		}
		if common {
			e.b = append(append(append(e.b, '"'), name...), '"', ':')
		} else {
			e.text(name, maxShort, headerPointer)
			e.b = append(e.b, ':')
		}
		if !different {
			value = joined(r.Headers[i+1:], name, value)
		}
		switch {
		case name == ":path" && value == r.Path:
			e.pathAt = len(e.b)
			if e.path(value, false) {
				e.masked = addPointer(e.masked, headerPointer, name)
			}
			e.pathEnd = len(e.b)
			continue
		case e.looks[i] == addressName || name == ":path":
			address := authz.MaskForeign(value)
			if address == value && e.direct(value, maxValue) {
				continue
			}
			if address != value || len(value) > maxValue {
				e.masked = addPointer(e.masked, headerPointer, name)
				value = address
			}
		case e.direct(value, maxValue):
			continue
		case len(value) > maxValue:
			e.masked = addPointer(e.masked, headerPointer, name)
		}
		if shown := e.secrets.Hide(value); shown != value {
			e.masked = addPointer(e.masked, headerPointer, name)
			value = shown
		}
		e.text(value, maxValue, headerPointer)
	}
}

// look finds out which headers hold secrets and takes note of these, and of those in
// addresses, before anything is written: what comes first may hold the same.
func (e *encoder) look(r *authz.Request) {
	e.secrets.Path(r.Path)
	e.looks = e.looks[:0]
	for i := range r.Headers {
		kind, name, value := otherName, r.Headers[i].Name, r.Headers[i].Value
		switch {
		case authz.CommonHeader(name):
			if kind = commonName; name == "referer" || name == ":path" && value != r.Path {
				kind = addressName
				e.secrets.Address(value)
			}
		case authz.AddressHeader(name):
			kind = addressName
			e.secrets.Address(value)
		case authz.SecretName(name):
			kind = secretName
			e.secrets.Header(name, value)
		}
		e.looks = append(e.looks, kind)
	}
}

// What is known of headers by their names.
const (
	otherName byte = iota
	commonName
	addressName
	secretName
)

// ascending reports whether each name comes after the one before it: none comes
// twice. So do the headers of nearly all requests.
func ascending(hs authz.Headers) bool {
	for i := 1; i < len(hs); i++ {
		if hs[i-1].Name >= hs[i].Name {
			return false
		}
	}
	return true
}

func joined(rest authz.Headers, name, value string) string {
	for i := range rest {
		if rest[i].Name == name {
			value += ", " + rest[i].Value
		}
	}
	return value
}

// nameSeen is a header's name of which is known whether it is one of a secret.
type nameSeen struct {
	name   string
	secret bool
}

// written reports whether a header of that name has been written, and notes it.
func (e *encoder) written(name string) bool {
	if slices.Contains(e.seen, name) {
		return true
	}
	e.seen = append(e.seen, name)
	return false
}

// secretName is authz.SecretHeader for the names that a policy gives to headers: of
// those there are a few.
func (e *encoder) secretName(name string) bool {
	at := &e.named[len(name)%len(e.named)]
	if at.name != name || name == "" {
		at.name, at.secret = name, authz.SecretHeader(name)
	}
	return at.secret
}
