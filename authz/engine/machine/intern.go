package machine

import "hash/maphash"

const (
	interned  = 256 // texts that a frame keeps
	maxIntern = 128 // bytes of each
)

// intern returns b as a string, without garbage if the same was made lately:
// header names and lists of roles are made again and again.
func (f *Frame) intern(b []byte) string {
	if len(b) > maxIntern {
		return string(b)
	}
	if f.known == nil {
		f.known = new([interned]string)
	}
	at := &f.known[maphash.Bytes(seed, b)%interned]
	if *at != string(b) {
		*at = string(b)
	}
	return *at
}
