package archive

import "fmt"

// Bounds of the data of one bundle, all its files together. Text that unpacks
// from 63 KB can be 64 MiB of "0," or "{},": without them it would take 1.2 or
// 1.7 GB decoded, on a gate that may not even trust who has sent it.
const (
	// maxDecoded bounds what decoded JSON and YAML take, by what the constants below
	// reckon; 30 MB of usual data, 300,000 people, are within it. The worst that was
	// found to be taken has a heap of 444 MB at its peak (5 million short strings),
	// its 62 MB of text and what waits to be collected included.
	maxDecoded = 256 << 20
	// MaxYAML bounds the text of YAML, for which its decoder and OPA's hash need up
	// to 450 times its size: 2 MiB of "{a}," had a heap of 898 MB, and all else that
	// was tried had less. A MiB stays within what JSON takes.
	MaxYAML = 1 << 20
	// maxSmall bounds manifest and signatures, which are decoded before it is known
	// who has made them: 2,000 files with SHA-512 are 1.2 MB in a signature.
	maxSmall = 2 << 20
	// maxDecodedSmall bounds what either takes decoded.
	maxDecodedSmall = 16 << 20
)

// What values take on a 64-bit machine, in bytes, and with the room that lists and
// maps have to spare.
const (
	costValue  = 40 // its place in a list, and a header of its own
	costObject = 48
	costMember = 36 // a place in a map of 8, 16, 32… places
)

// budget is what decoding may still take.
type budget struct {
	left int64
	yaml int
}

func newBudget() *budget { return &budget{left: maxDecoded, yaml: MaxYAML} }

var errDecoded = fmt.Errorf("the data takes more than %d MiB of memory, all files together; leave out what no rule reads, or write it in fewer and larger values", maxDecoded>>20)

func (b *budget) spend(n int) error {
	if b.left -= int64(n); b.left < 0 {
		return errDecoded
	}
	return nil
}

// member pays for one more member of an object that has n and places for room, and
// returns the places after it: maps double.
func (b *budget) member(key string, n, room int) (int, error) {
	cost := len(key) + 8
	if n >= room {
		more := max(room, 8)
		cost, room = cost+more*costMember, room+more
	}
	return room, b.spend(cost)
}

// decode sets the value of a file of data.
func (b *budget) decode(f *File) (err error) {
	switch base := baseOf(f.Name); {
	case base == "data.json":
		f.Value, err = decodeJSON(f.Text, b)
	case yamlData(base):
		if b.yaml -= len(f.Text); b.yaml < 0 {
			return fmt.Errorf("a bundle has at most %d bytes of YAML, all files together; use data.json, as gate bundle build makes it", MaxYAML)
		}
		f.Value, err = decodeYAML(f.Text, b)
	}
	return err
}
