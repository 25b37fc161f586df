package route

import (
	"fmt"
	"time"

	"github.com/neosc/gate/authz/route/strictyaml"
)

// Shields are what Envoy bounds before anybody is asked: what a stranger can
// make the edge hold or do. They are Envoy's listener's and take a restart.
type Shields struct {
	// Requests a second that one client address (IPv6: one network of 64 bits)
	// may make, and Burst how many of them at once. Requests 0 is no limit.
	Requests, Burst uint32
	// Addresses is how many addresses are remembered; of more the one that was
	// quiet longest is forgotten, and so begins anew.
	Addresses uint32
	// Connections is how many clients may hold open in all.
	Connections uint32
	// Streams is how many requests at a time one HTTP/2 connection may have.
	Streams uint32
	// Checks is how many requests may await the gate's answer at a time; others
	// are answered 503 at once.
	Checks uint32
	// Headers is how long a request's headers may take, Idle how long a
	// connection may stay on which nothing is asked.
	Headers, Idle time.Duration
}

// defaultShields stand where the file says nothing. An office behind one address
// stays far below its limit; a flood at it costs the gate a small part of a core.
var defaultShields = Shields{
	Requests: 500, Burst: 2000, Addresses: 20000, Connections: 20000, Streams: 100, Checks: 4096,
	Headers: 5 * time.Second, Idle: time.Minute,
}

type shieldsYAML struct {
	strictyaml.Where
	Requests    uint32        `yaml:"requests_per_second"`
	Burst       uint32        `yaml:"burst"`
	Addresses   uint32        `yaml:"addresses"`
	Connections uint32        `yaml:"connections"`
	Streams     uint32        `yaml:"streams"`
	Checks      uint32        `yaml:"checks"`
	Headers     time.Duration `yaml:"header_timeout"`
	Idle        time.Duration `yaml:"idle_timeout"`
}

// Shields are the bounds that Envoy sets before anybody is asked.
func (f *File) Shields() Shields { return f.shields }

// String says them as gate check shows them.
func (s Shields) String() string {
	rate := "any number of requests"
	if s.Requests > 0 {
		rate = fmt.Sprintf("%d requests/s (burst %d)", s.Requests, s.Burst)
	}
	return fmt.Sprintf("%s an address (%d remembered), %d connections, %d streams each, %d checks at a time, headers within %v, idle %v",
		rate, s.Addresses, s.Connections, s.Streams, s.Checks, s.Headers, s.Idle)
}

func (c *checker) shields() {
	s, y := defaultShields, c.y.Shields
	if y != nil {
		number := func(key string, into *uint32, v, least, most uint32) {
			if !y.Has(key) {
				return
			}
			*into = v
			if v < least || v > most {
				c.report.Add(y.Where, key, "shields.%s: %d is out of range; use %d to %d", key, v, least, most)
			}
		}
		number("requests_per_second", &s.Requests, y.Requests, 0, 1000000)
		if s.Requests != defaultShields.Requests {
			s.Burst = max(4*s.Requests, 1)
		}
		number("burst", &s.Burst, y.Burst, 1, 4000000)
		if s.Burst < s.Requests {
			c.report.Add(y.Where, "burst", "shields.burst: %d is less than a second's %d requests; use at least as many", s.Burst, s.Requests)
		}
		number("addresses", &s.Addresses, y.Addresses, 100, 1000000)
		number("connections", &s.Connections, y.Connections, 10, 1000000)
		number("streams", &s.Streams, y.Streams, 1, 1000)
		number("checks", &s.Checks, y.Checks, 16, 65536)
		wait := func(key string, into *time.Duration, v, least, most time.Duration) {
			if !y.Has(key) {
				return
			}
			*into = v
			if v < least || v > most {
				c.report.Add(y.Where, key, "shields.%s: %v is out of range; use %v to %v", key, v, least, most)
			}
		}
		wait("header_timeout", &s.Headers, y.Headers, 100*time.Millisecond, time.Minute)
		wait("idle_timeout", &s.Idle, y.Idle, time.Second, time.Hour)
	}
	c.file.shields = s
}
