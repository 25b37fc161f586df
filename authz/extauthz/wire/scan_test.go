package wire

import (
	"bytes"
	"cmp"
	"flag"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/neosc/gate/authz"
)

var long = flag.Bool("soak", false, "compare ten million messages instead of 200,000")

// The scanner and the generated code agree on every mutated message: both refuse
// it, or both find the same. A failure prints the message; it belongs into
// TestMessagesThatAreReadLikeTheGeneratedCode then.
func TestSoakScannerAgreesWithTheGeneratedCode(t *testing.T) {
	t.Parallel()
	most := int64(200_000)
	switch {
	case *long:
		most = 10_000_000
	case raced: // workers share nothing that it could look at
		most /= 10
	}
	var all [][]*node
	for _, b := range seeds(t) {
		all = append(all, parse(b, 8))
	}
	var done, taken atomic.Int64
	var wg sync.WaitGroup
	for worker := range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			var s subject
			m := mutator{Rand: rand.New(rand.NewPCG(uint64(most), uint64(worker)))}
			for done.Add(1) <= most && !t.Failed() {
				b := m.mutate(all[m.IntN(len(all))])
				ok, err := s.differs(b)
				if err != nil {
					t.Errorf("%v\n%x", err, b)
				}
				if ok {
					taken.Add(1)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d messages, %d of them taken by both", min(most, done.Load()), taken.Load())
	if n := taken.Load(); n < most/10 || n > most*9/10 {
		t.Errorf("%d of %d messages were taken: the mutations are too weak or too strong", n, most)
	}
}

// field encodes a length-delimited field around parts.
func field(num protowire.Number, parts ...[]byte) []byte {
	var v []byte
	for _, p := range parts {
		v = append(v, p...)
	}
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), v)
}

func text(num protowire.Number, s string) []byte { return field(num, []byte(s)) }

func httpOf(parts ...[]byte) []byte { return field(1, field(4, field(2, parts...))) }

func TestMessagesThatAreReadLikeTheGeneratedCode(t *testing.T) {
	t.Parallel()
	address := func(parts ...[]byte) []byte { return field(1, field(1, field(1, parts...))) }
	port := protowire.AppendVarint(protowire.AppendTag(nil, 3, protowire.VarintType), 1<<40|4711)
	for name, tc := range map[string]struct {
		b     []byte
		taken bool
	}{
		"Nothing":                      {nil, true},
		"ScalarsTwiceTheLastWins":      {httpOf(text(2, "GET"), text(4, "/a"), text(2, "POST")), true},
		"MessagesMerge":                {append(httpOf(text(2, "GET")), httpOf(text(4, "/a"))...), true},
		"MapKeysTwiceTheLastWins":      {httpOf(field(3, text(1, "a"), text(2, "1")), field(3, text(1, "a"), text(2, "2"))), true},
		"MapEntryWithoutKey":           {httpOf(field(3, text(2, "1"))), true},
		"MapEntryWithoutValue":         {httpOf(field(3, text(1, "a"))), true},
		"MapEntryKeyTwice":             {httpOf(field(3, text(1, "a"), text(1, "b"))), true},
		"MapKeysThatDifferInCase":      {httpOf(field(3, text(1, "b")), field(3, text(1, "A")), field(3, text(1, "a"))), true},
		"WrongWireTypeIsSkipped":       {httpOf(protowire.AppendVarint(protowire.AppendTag(nil, 2, protowire.VarintType), 7)), true},
		"NotUTF8InAPath":               {httpOf(text(4, "/\xff")), false},
		"NotUTF8InWhatIsNotRead":       {httpOf(text(8, "\xff")), false},
		"NotUTF8InAnOverwrittenPath":   {httpOf(text(4, "/\xff"), text(4, "/a")), false},
		"NotUTF8InRawBytes":            {httpOf(field(13, field(1, text(1, "x"), text(3, "\xff")))), true},
		"NotUTF8InAHeaderValue":        {httpOf(field(13, field(1, text(1, "x"), text(2, "\xff")))), false},
		"NotUTF8InALabel":              {field(1, field(1, field(3, text(1, "\xff")))), false},
		"NotUTF8InTheServerName":       {field(1, field(12, text(1, "\xff"))), false},
		"NotUTF8InAnUnknownField":      {field(1, text(9, "\xff")), true},
		"PortOfMoreThan32Bits":         {address(field(1, text(2, "10.0.0.1"), port)), true},
		"NamedPortTakesThePortAway":    {address(field(1, text(2, "10.0.0.1"), port, text(4, "http"))), true},
		"PipeTakesTheSocketAway":       {address(field(1, text(2, "10.0.0.1"), port), field(2, text(1, "/x"))), true},
		"SocketAfterPipeBeginsAnew":    {address(field(1, port), field(2, text(1, "/x")), field(1, text(2, "10.0.0.1"))), true},
		"SocketTwiceMerges":            {address(field(1, port), field(1, text(2, "10.0.0.1"))), true},
		"StrayEndOfAGroup":             {httpOf([]byte{0x0c}), false},
		"GroupThatEndsAsAnother":       {httpOf([]byte{0x0b, 0x14}), false},
		"GroupWithoutEnd":              {httpOf([]byte{0x0b}), false},
		"FieldNumberZero":              {[]byte{0x02, 0}, false},
		"FieldNumberTooHigh":           {[]byte{0x80, 0x80, 0x80, 0x80, 0x10, 0}, false},
		"LengthBeyondTheEnd":           {[]byte{0x0a, 5, 0}, false},
		"LengthThatOverflows":          {[]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, false},
		"VarintOfElevenBytes":          {[]byte{0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0}, false},
		"TimeWithJunk":                 {field(1, field(4, field(1, []byte{0x0c}))), false},
		"MetadataWithNotUTF8":          {field(1, field(11, field(1, text(1, "\xff")))), false},
		"RawHeadersInTwoPieces":        {httpOf(field(13, field(1, text(1, "a"))), field(13, field(1, text(1, "b")))), true},
		"RawHeadersBesideAMap":         {httpOf(field(3, text(1, "m")), field(13, field(1, text(1, "r")))), true},
		"EmptyRawHeadersBesideAMap":    {httpOf(field(3, text(1, "m")), field(13)), true},
		"HeaderWithValueAndRawValue":   {httpOf(field(13, field(1, text(1, "a"), text(2, "v"), text(3, "r")))), true},
		"ExtensionTwiceTheLastWins":    {field(1, field(10, text(1, "route"), text(2, "a")), field(10, text(1, "route"), text(2, "b"))), true},
		"UnknownFieldsOfEveryWireType": {httpOf(junk[11], junk[12], junk[2]), true},
	} {
		t.Run(name, func(t *testing.T) {
			var s subject
			taken, err := s.differs(tc.b)
			if err != nil || taken != tc.taken {
				t.Errorf("taken: %v, want %v; %v", taken, tc.taken, err)
			}
		})
	}
}

// Messages and groups that nest up to the generated code's limit are taken, and
// deeper ones are not.
func TestDepthIsThatOfTheGeneratedCode(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		nest  func(levels int) []byte
		limit int // is within 8 of this
	}{
		"Lists":   {func(n int) []byte { return nested(n, 1, 6) }, 4996},
		"Objects": {func(n int) []byte { return nested(n, 2, 1, 5) }, 3331},
		"Groups": {func(n int) []byte {
			return append(bytes.Repeat([]byte{0xa3, 0x06}, n), bytes.Repeat([]byte{0xa4, 0x06}, n)...)
		}, 10_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s subject
			verdicts := map[bool]bool{}
			for n := tc.limit - 8; n < tc.limit+8; n++ {
				v := tc.nest(n)
				metadata := field(1, text(1, "f"), field(2, field(1, text(1, "k"), field(2, v))))
				for _, b := range [][]byte{field(1, field(11, metadata)), httpOf(v), field(1, field(1, field(1, field(2, v))))} {
					taken, err := s.differs(b)
					if err != nil {
						t.Fatalf("depth %d: %v", n, err)
					}
					verdicts[taken] = true
				}
			}
			if !verdicts[true] || !verdicts[false] {
				t.Errorf("the limit was not met: %v", verdicts)
			}
		})
	}
}

// nested wraps nothing in fields of these numbers, the innermost first, and that
// again, level by level. It writes from the end: the lengths are known there.
func nested(levels int, numbers ...protowire.Number) []byte {
	var out []byte
	for range levels {
		for _, num := range numbers {
			head := protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.BytesType), uint64(len(out)))
			slices.Reverse(head)
			out = append(out, head...)
		}
	}
	slices.Reverse(out)
	return out
}

func FuzzScan(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	for _, b := range junk {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s subject
		if _, err := s.differs(b); err != nil {
			t.Fatal(err)
		}
	})
}

// A Scanner that is kept finds nothing of the message before.
func TestScanAllocatesNothingWhenKept(t *testing.T) {
	var s subject
	entry := field(3, text(1, "cookie"), text(2, "a=b"))
	address := field(1, field(1, text(2, "10.0.0.1")))
	raw := field(13, field(1, text(1, "accept"), text(3, "text/html")))
	route := field(10, text(1, "route"), text(2, "portal"))
	messages := []string{
		string(field(1, field(1, address), field(4, field(2, text(2, "GET"), entry, entry)), route)),
		string(field(1, field(1, address), field(4, field(2, text(2, "GET"), raw, raw)), route)),
	}
	if n := testing.AllocsPerRun(100, func() {
		for _, m := range messages {
			s.r.Reset()
			if _, err := s.scan.Scan(m, &s.r); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkScan(b *testing.B) {
	m := string(seeds(b)[0])
	var scan Scanner
	var r authz.Request
	b.SetBytes(int64(len(m)))
	b.ReportAllocs()
	for b.Loop() {
		r.Reset()
		if _, err := scan.Scan(m, &r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGenerated is what the scanner spares.
func BenchmarkGenerated(b *testing.B) {
	m := seeds(b)[0]
	b.SetBytes(int64(len(m)))
	b.ReportAllocs()
	for b.Loop() {
		var in authv3.CheckRequest
		if err := proto.Unmarshal(m, &in); err != nil {
			b.Fatal(err)
		}
	}
}

func TestFieldsAreOrderedByNameHoweverManyAndEqualOnesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		hs := make([]authz.Header, rapid.IntRange(0, 2*fewFields).Draw(t, "fields"))
		for i := range hs {
			hs[i] = authz.Header{Name: rapid.StringMatching(`[a-c]{0,3}`).Draw(t, "name"), Value: strconv.Itoa(i)}
		}
		want := slices.Clone(hs)
		slices.SortStableFunc(want, func(a, b authz.Header) int { return cmp.Compare(a.Name, b.Name) })
		if sortByName(hs); !slices.Equal(hs, want) {
			t.Fatalf("%v, want %v", hs, want)
		}
	})
}
