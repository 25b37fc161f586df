package wire

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// ErrNotText is what AppendTo returns when a text of the answer is not UTF-8:
// Envoy would not read such an answer at all.
var ErrNotText = errors.New("the answer holds bytes that are no UTF-8")

// Kind is which answer a Response is: the number of its field.
type Kind byte

const (
	Denied Kind = 2 // denied_response
	Ok     Kind = 3 // ok_response
	Error  Kind = 5 // error_response
)

// Response gathers a CheckResponse, one at a time. Keeping it keeps its room.
// Texts are copied as they are added. Not safe for concurrent use.
type Response struct {
	http     []byte // OkHttpResponse or DeniedHttpResponse
	metadata []byte // Struct
	notText  bool
}

// keptBytes is how much room a Response keeps from one answer to the next.
const keptBytes = 32 << 10

// Reset empties w.
func (w *Response) Reset() {
	if cap(w.http)+cap(w.metadata) > keptBytes {
		w.http, w.metadata = nil, nil
	}
	w.http, w.metadata, w.notText = w.http[:0], w.metadata[:0], false
}

// Overwrite sets a header of the request to the upstream
// (OVERWRITE_IF_EXISTS_OR_ADD): to append would join with what a client sent.
func (w *Response) Overwrite(name, value string) { w.option(2, name, value, overwrite) }

// OverwriteBytes is Overwrite for a value that is no string yet, and of which the
// caller has seen that it is UTF-8: Cookie headers are long, and were looked at.
func (w *Response) OverwriteBytes(name string, value []byte) {
	w.beginOption(2, name, len(value), overwrite)
	w.http = append(w.http, value...)
	w.endOption(overwrite)
}

// Header adds a header to the answer that a client gets on a denial. Its action
// stays unset: that is how repeated fields (Set-Cookie) all arrive.
func (w *Response) Header(name, value string) { w.option(2, name, value, 0) }

// ResponseHeader adds a header to the upstream's response, on an allow.
func (w *Response) ResponseHeader(name, value string) { w.option(6, name, value, 0) }

// RemoveHeader takes a header off the request to the upstream.
func (w *Response) RemoveHeader(name string) { w.http = w.text(w.http, 5, name) }

// SetQuery sets a query parameter of the request to the upstream.
func (w *Response) SetQuery(name, value string) {
	w.http = appendLen(w.http, 7, sizeText(name)+sizeText(value))
	w.http = w.text(w.text(w.http, 1, name), 2, value)
}

// RemoveQuery takes a query parameter off the request to the upstream.
func (w *Response) RemoveQuery(name string) { w.http = w.text(w.http, 8, name) }

// Status is the HTTP status of a denial, above 0.
func (w *Response) Status(code int) {
	w.http = appendLen(w.http, 1, 1+sizeVarint(uint64(code)))
	w.http = binary.AppendUvarint(append(w.http, 1<<3|varintType), uint64(code))
}

// Body is the body of a denial.
func (w *Response) Body(s string) { w.http = w.text(w.http, 3, s) }

// Metadata adds a text to the dynamic metadata.
func (w *Response) Metadata(key, value string) {
	v := sizeText(value)
	w.metadata = appendLen(w.metadata, 1, sizeText(key)+sizeLen(v))
	w.metadata = appendLen(w.text(w.metadata, 1, key), 2, v)
	w.metadata = w.text(w.metadata, 3, value)
}

// MetadataValue adds any value to the dynamic metadata, unless it cannot be
// encoded.
func (w *Response) MetadataValue(key string, v *structpb.Value) {
	b, err := proto.Marshal(v)
	if err != nil {
		return
	}
	w.metadata = appendLen(w.metadata, 1, sizeText(key)+sizeLen(len(b)))
	w.metadata = appendLen(w.text(w.metadata, 1, key), 2, len(b))
	w.metadata = append(w.metadata, b...)
}

// Size is how many bytes AppendTo appends.
func (w *Response) Size(code uint8) int {
	n := 2 + sizeLen(len(w.http))
	if code != 0 {
		n += 2
	}
	if len(w.metadata) > 0 {
		n += sizeLen(len(w.metadata))
	}
	return n
}

// AppendTo appends the encoded CheckResponse. code is the gRPC status in it,
// below 128: Envoy reads 0 as an allow, whatever else the answer says.
func (w *Response) AppendTo(b []byte, kind Kind, code uint8) ([]byte, error) {
	if w.notText {
		return b, ErrNotText
	}
	if code == 0 {
		b = append(b, 1<<3|bytesType, 0)
	} else {
		b = append(b, 1<<3|bytesType, 2, 1<<3|varintType, code)
	}
	b = append(appendLen(b, byte(kind), len(w.http)), w.http...)
	if len(w.metadata) > 0 {
		b = append(appendLen(b, 4, len(w.metadata)), w.metadata...)
	}
	return b, nil
}

// overwrite is OVERWRITE_IF_EXISTS_OR_ADD; 0 leaves the action unset.
const overwrite = 2

func (w *Response) option(field byte, name, value string, action byte) {
	w.beginOption(field, name, len(value), action)
	w.http = append(w.http, value...)
	w.notText = w.notText || !utf8.ValidString(value)
	w.endOption(action)
}

// beginOption is a HeaderValueOption with its HeaderValue up to the value.
func (w *Response) beginOption(field byte, name string, value int, action byte) {
	header := sizeText(name) + sizeLen(value)
	n := sizeLen(header)
	if action != 0 {
		n += 2
	}
	b := appendLen(appendLen(w.http, field, n), 1, header)
	w.http = appendLen(w.text(b, 1, name), 2, value)
}

func (w *Response) endOption(action byte) {
	if action != 0 {
		w.http = append(w.http, 3<<3|varintType, action)
	}
}

func (w *Response) text(b []byte, field byte, s string) []byte {
	w.notText = w.notText || !utf8.ValidString(s)
	return append(appendLen(b, field, len(s)), s...)
}

// appendLen begins a length-delimited field of n bytes.
func appendLen(b []byte, field byte, n int) []byte {
	return binary.AppendUvarint(append(b, field<<3|bytesType), uint64(n))
}

// sizeText is the size of a text as a field with a number below 16, sizeLen that
// of any length-delimited field of n bytes.
func sizeText(s string) int { return sizeLen(len(s)) }
func sizeLen(n int) int     { return 1 + sizeVarint(uint64(n)) + n }

func sizeVarint(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }
