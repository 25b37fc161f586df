package wire

// Wire types (protobuf encoding, "Message Structure").
const (
	varintType  = 0
	fixed64Type = 1
	bytesType   = 2
	startGroup  = 3
	endGroup    = 4
	fixed32Type = 5
)

const (
	// maxNumber is the highest field number (protowire.MaxValidNumber).
	maxNumber = 1<<29 - 1
	// maxDepth is how deep the generated code follows messages and groups
	// (protowire.DefaultRecursionLimit).
	maxDepth = 10_000
)

// fields goes through a message: while next is true, tag and value are those of a
// field. Afterwards whole tells whether the message ended where a field does.
type fields struct {
	m     string
	at    int // negative once there is no field where one should be
	tag   uint64
	value string
}

func (f *fields) next() bool {
	if f.at >= len(f.m) {
		return false
	}
	f.tag, f.value, f.at = next(f.m, f.at)
	return f.at >= 0
}

func (f *fields) whole() bool { return f.at >= 0 }

// next takes the field at m[i:] apart: its tag, its value and where the one
// after it begins. The value is the content of a length-delimited field, else
// the bytes as they stand. end is negative if no field is there.
//
// Whatever the caller does not know by tag is passed over by this alone.
func next(m string, i int) (tag uint64, value string, end int) {
	// Nearly every field has a number below 16 and is shorter than 128 bytes.
	if i+2 <= len(m) && m[i]&0x87 == bytesType && m[i] > 7 && m[i+1] < 0x80 {
		if end = i + 2 + int(m[i+1]); end <= len(m) {
			return uint64(m[i]), m[i+2 : end], end
		}
		return 0, "", -1
	}
	tag, start := varint(m, i)
	if start < 0 || tag>>3-1 >= maxNumber { // 0 wraps around
		return 0, "", -1
	}
	if tag&7 == bytesType {
		value, end = content(m, start)
		return tag, value, end
	}
	if end = skip(m, start, tag, maxDepth); end < 0 {
		return 0, "", -1
	}
	return tag, m[start:end], end
}

// varint reads a varint at m[i:]; end is negative if none is there. One byte,
// the common case, is small enough to be inlined.
func varint(m string, i int) (v uint64, end int) {
	if i < len(m) && m[i] < 0x80 {
		return uint64(m[i]), i + 1
	}
	return longVarint(m, i)
}

func longVarint(m string, i int) (v uint64, end int) {
	for shift := uint(0); shift < 70; shift += 7 {
		if i >= len(m) {
			return 0, -1
		}
		c := m[i]
		i++
		if c < 0x80 {
			if shift == 63 && c > 1 { // does not fit 64 bits
				return 0, -1
			}
			return v | uint64(c)<<shift, i
		}
		v |= uint64(c&0x7f) << shift
	}
	return 0, -1
}

// content reads a length and as many bytes.
func content(m string, i int) (value string, end int) {
	n, i := varint(m, i)
	if i < 0 || n > uint64(len(m)-i) {
		return "", -1
	}
	return m[i : i+int(n)], i + int(n)
}

// skip passes over a value as protowire.ConsumeFieldValue does.
func skip(m string, i int, tag uint64, depth int) int {
	switch tag & 7 {
	case varintType:
		_, i = varint(m, i)
		return i
	case fixed64Type:
		return advance(m, i, 8)
	case fixed32Type:
		return advance(m, i, 4)
	case bytesType:
		_, i = content(m, i)
		return i
	case startGroup:
		return skipGroup(m, i, tag, depth)
	default: // an end without its group, or no wire type
		return -1
	}
}

func advance(m string, i, n int) int {
	if len(m)-i < n {
		return -1
	}
	return i + n
}

// skipGroup recurses as deep as groups nest, at most maxDepth.
func skipGroup(m string, i int, tag uint64, depth int) int {
	if depth < 0 {
		return -1
	}
	for {
		t, j := varint(m, i)
		// Inside a group the generated code lets numbers up to 2^31-1 pass.
		if j < 0 || t>>3 == 0 || t>>3 > 1<<31-1 {
			return -1
		}
		if t&7 == endGroup {
			if t>>3 != tag>>3 {
				return -1
			}
			return j
		}
		if i = skip(m, j, t, depth-1); i < 0 {
			return -1
		}
	}
}
