package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

// call is one prepared Check and what its answer must hold.
type call struct {
	request []byte
	// want are byte strings that the encoded answer must contain: the identity
	// header's name and this person's value. Empty for a no-op.
	want [][]byte
}

// passThrough hands prepared bytes to grpc-go and back: the client's own
// encoding must not take CPU from the server on a machine with few cores.
type passThrough struct{}

func (passThrough) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (passThrough) Unmarshal(b []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(b)
	return nil
}
func (passThrough) Name() string { return "proto" }

// client sends calls over one connection, as one Envoy worker does.
type client struct {
	conn *grpc.ClientConn
}

func dial(socket string) (*client, error) {
	c, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(passThrough{})))
	if err != nil {
		return nil, err
	}
	return &client{c}, nil
}

// burst is what one block of load found.
type burst struct {
	calls     int64
	latencies []time.Duration
}

// quantile returns the q-quantile of the block's latencies.
func (b *burst) quantile(q float64) time.Duration {
	if len(b.latencies) == 0 {
		return 0
	}
	slices.Sort(b.latencies)
	return b.latencies[int(q*float64(len(b.latencies)-1))]
}

// run keeps callers busy with calls for d. Any answer that is not the expected
// allow makes the run invalid.
func (c *client) run(ctx context.Context, calls []call, callers int, d time.Duration) (*burst, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		wg    sync.WaitGroup
		next  atomic.Int64
		mu    sync.Mutex
		b     burst
		fault error
	)
	end := time.Now().Add(d)
	for range callers {
		wg.Go(func() {
			var reply []byte
			var took []time.Duration
			for time.Now().Before(end) {
				x := &calls[next.Add(1)%int64(len(calls))]
				t := time.Now()
				err := c.conn.Invoke(ctx, authv3.Authorization_Check_FullMethodName, &x.request, &reply)
				took = append(took, time.Since(t))
				if err == nil {
					err = expected(reply, x.want)
				}
				if err != nil {
					mu.Lock()
					fault = errors.Join(fault, err)
					mu.Unlock()
					cancel()
					return
				}
			}
			mu.Lock()
			b.calls += int64(len(took))
			b.latencies = append(b.latencies, took...)
			mu.Unlock()
		})
	}
	wg.Wait()
	if fault != nil {
		return nil, fmt.Errorf("the run is invalid: %w", fault)
	}
	return &b, nil
}

// expected checks an answer without decoding it: in an encoded CheckResponse an
// allow has field 3 (ok_response, tag 0x1a) and the header's bytes stand as they
// are. verify decodes one answer a person before the run.
func expected(reply []byte, want [][]byte) error {
	for _, w := range want {
		if !bytes.Contains(reply, w) {
			return unexpected(reply, w)
		}
	}
	return nil
}

func unexpected(reply, want []byte) error {
	var r authv3.CheckResponse
	if err := proto.Unmarshal(reply, &r); err != nil {
		return err
	}
	return fmt.Errorf("an answer lacks %q: %v", want, &r)
}

// verify decodes the answer to every call once.
func (c *client) verify(ctx context.Context, calls []call) error {
	for i := range calls {
		var reply []byte
		if err := c.conn.Invoke(ctx, authv3.Authorization_Check_FullMethodName, &calls[i].request, &reply); err != nil {
			return err
		}
		var r authv3.CheckResponse
		if err := proto.Unmarshal(reply, &r); err != nil {
			return err
		}
		if r.GetStatus().GetCode() != 0 || r.GetOkResponse() == nil {
			return fmt.Errorf("call %d is not allowed: %v", i, &r)
		}
		if err := expected(reply, calls[i].want); err != nil {
			return err
		}
	}
	return nil
}
