package extauthz

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/extauthz/wire"
)

// call is the room of one Check. It is kept for the next one, so that a Check
// leaves little behind besides what grpc-go makes.
type call struct {
	in   string // the CheckRequest
	scan wire.Scanner
	r    authz.Request
	o    authz.Outcome
	resp wire.Response
	// cookies is room for the Cookie header that goes upstream.
	cookies []byte
	// kind and code are resp's; out is the whole CheckResponse, encoded.
	kind wire.Kind
	code uint8
	out  mem.BufferSlice
}

// reset lets go of the request: nothing of it may live on in the room.
func (c *call) reset() {
	c.in, c.out, c.o = "", nil, authz.Outcome{}
	c.kind, c.code = 0, 0
	c.r.Reset()
	c.resp.Reset()
}

// codec hands a call its bytes as they come and takes them as they go; all else
// (health, reflection) is protobuf's as ever.
type codec struct{ encoding.CodecV2 }

// Unmarshal copies the message, once, into memory that is garbage afterwards.
// To read it in grpc-go's buffer would save that one allocation of some 1.5 KiB,
// but that buffer holds another request a moment later, while OPA keeps texts of
// its input as keys of caches of its own (patterns of regex.match): a key that
// changes under a cache decides wrongly, and no test would show it.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	x, ok := v.(*call)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	var b strings.Builder
	b.Grow(data.Len())
	for _, part := range data {
		b.Write(part.ReadOnlyData())
	}
	x.in = b.String()
	return nil
}

// Marshal implements encoding.CodecV2.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if x, ok := v.(*call); ok {
		return x.out, nil
	}
	return c.CodecV2.Marshal(v)
}

// serve is the handler of Check. The method is declared as a stream, which spares
// what grpc-go does around a unary handler (measured: the other way is dearer), and
// as one of the client's, so that the answer does not wait for the end of the
// request after its only message: perhaps 2% of a check. A second message is not
// looked at. No interceptor sees the call, and no panic is caught but here.
func (s *Server) serve(_ any, stream grpc.ServerStream) error {
	c := s.calls.Get().(*call)
	if err := stream.RecvMsg(c); err != nil {
		return err
	}
	if s.answer(stream.Context(), c) {
		defer s.keep(c)
	}
	return stream.SendMsg(c)
}

func (s *Server) keep(c *call) {
	c.reset()
	s.calls.Put(c)
}

// leastBuffer is the smallest buffer that mem keeps for reuse (it throws those
// of up to 1 KiB away).
const leastBuffer = 1025

// encode puts the answer into a buffer of grpc-go's pool, which gets it back once
// it is written.
func (c *call) encode() error {
	pool := mem.DefaultBufferPool()
	buf := pool.Get(max(c.resp.Size(c.code), leastBuffer))
	b, err := c.resp.AppendTo((*buf)[:0], c.kind, c.code)
	if err != nil {
		pool.Put(buf)
		return err
	}
	*buf = b
	c.out = mem.BufferSlice{mem.NewBuffer(buf, pool)}
	return nil
}

// answer decides c.in and puts the answer into c.out, whatever happens. It
// reports whether c may be used again: after a panic nobody knows what holds on
// to it.
func (s *Server) answer(ctx context.Context, c *call) (reusable bool) {
	defer func() {
		if p := recover(); p != nil { // outside the Decider, which catches its own
			if s.opt.OnPanic != nil {
				s.opt.OnPanic()
			}
			s.opt.Logger.Error("panic while answering a check", "panic", p)
			c.out = mem.BufferSlice{mem.SliceBuffer(s.trouble)}
			reusable = false
		}
	}()
	readRequest(c.in, &c.scan, &c.r, s.opt.Routes, s.opt.Clock())
	s.opt.Decider.DecideInto(ctx, &c.r, &c.o)
	if c.o.Verdict == authz.Failed {
		s.logFailure(&c.r, &c.o)
	}
	if c.o.Verdict == authz.Allowed {
		s.allow(c)
	} else {
		s.deny(c, &c.o)
	}
	if err := c.encode(); err != nil {
		s.opt.Logger.Error("the answer to a check cannot be encoded", "error", err, "route", c.r.RouteName, "request_id", clip(c.r.ID, 128))
		c.out = mem.BufferSlice{mem.SliceBuffer(s.trouble)}
	}
	return true
}
