package decisionlog

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/neosc/gate/authz"
)

// readInput makes the request of an input document.
func (r *Record) readInput(c *cursor) {
	if c.null() {
		return
	}
	r.Request = &authz.Request{}
	for key := range c.fields {
		switch key {
		case "attributes":
			readAttributes(c, r.Request)
		case "parsed_path":
			r.path = c.raw()
		case "parsed_query":
			r.query = c.raw()
		case "route":
			r.Request.Route = sharedRoute(c)
			if r.Request.Route != nil {
				r.Request.RouteName = r.Request.Route.Name
			}
		case "session":
			if !c.null() {
				r.Request.Session = sharedSession(c)
			}
		default: // the rest follows from what is read
			c.skip()
		}
	}
}

func readAttributes(c *cursor, r *authz.Request) {
	for key := range c.fields {
		switch key {
		case "source":
			r.Source, r.Certificate = readPeer(c)
		case "destination":
			r.Destination, _ = readPeer(c)
		case "request":
			readRequest(c, r)
		case "contextExtensions":
			for k := range c.fields {
				if r.Extensions == nil {
					r.Extensions = map[string]string{}
				}
				r.Extensions[k] = c.text()
			}
		default:
			c.skip()
		}
	}
}

func readRequest(c *cursor, r *authz.Request) {
	for key := range c.fields {
		switch key {
		case "time":
			r.Time = c.time()
		case "http":
			readHTTP(c, r)
		default:
			c.skip()
		}
	}
}

func readHTTP(c *cursor, r *authz.Request) {
	for key := range c.fields {
		switch key {
		case "id":
			r.ID = c.text()
		case "method":
			r.Method = c.text()
		case "path":
			r.Path = c.text()
		case "host":
			r.Host = c.text()
		case "scheme":
			r.Scheme = c.text()
		case "protocol":
			r.Protocol = c.text()
		case "headers":
			r.Headers = make(authz.Headers, 0, 16)
			for name := range c.fields {
				r.Headers = append(r.Headers, authz.Header{Name: name, Value: c.text()})
			}
		default:
			c.skip()
		}
	}
}

func readPeer(c *cursor) (p authz.Peer, cert *authz.Certificate) {
	for key := range c.fields {
		switch key {
		case "address":
			for key := range c.fields {
				if key == "socketAddress" {
					p.Addr = readAddress(c)
				} else {
					c.skip()
				}
			}
		case "principal":
			p.Principal = c.text()
		case "certificate":
			cert = readCertificate(c)
		default:
			c.skip()
		}
	}
	return p, cert
}

func readAddress(c *cursor) netip.AddrPort {
	var address string
	var port int64
	for key := range c.fields {
		switch key {
		case "address":
			address = c.text()
		case "portValue":
			port = c.integer()
		default:
			c.skip()
		}
	}
	ip, err := netip.ParseAddr(address)
	if err != nil || port < 0 || port > 65535 {
		return netip.AddrPort{} // masked
	}
	return netip.AddrPortFrom(ip, uint16(port))
}

func readCertificate(c *cursor) *authz.Certificate {
	x := &authz.Certificate{}
	for key := range c.fields {
		switch key {
		case "subject":
			x.Subject = c.text()
		case "issuer":
			x.Issuer = c.text()
		case "dns_names":
			x.DNSNames = c.texts()
		case "uri_names":
			x.URINames = c.texts()
		case "fingerprint_sha256":
			x.Fingerprint = c.text()
		case "serial":
			x.Serial = c.text()
		case "not_before":
			x.NotBefore = c.time()
		case "not_after":
			x.NotAfter = c.time()
		default:
			c.skip()
		}
	}
	return x
}

// sharedRoute is sharedSession for input.route; nil for one without a name.
func sharedRoute(c *cursor) *authz.Route {
	if c.shared == nil {
		return readRoute(c)
	}
	text := c.raw()
	if r := c.shared.routes[text]; r != nil || c.err != nil {
		return r
	}
	own := c.own(text)
	r := readRoute(own)
	c.err = own.err
	if len(c.shared.routes) == maxSharedRoutes {
		clear(c.shared.routes)
	}
	c.shared.routes[own.s] = r
	return r
}

func readRoute(c *cursor) *authz.Route {
	route := &authz.Route{}
	for key := range c.fields {
		switch key {
		case "name":
			route.Name = c.text()
		case "policy":
			route.Policy, _ = c.value().(map[string]any)
		case "identity_headers":
			route.PassIdentityHeaders = true
			c.skip()
		default:
			c.skip()
		}
	}
	if route.Name == "" {
		return nil
	}
	return route
}

// readResult reads a decision under the names that policies give it.
func readResult(c *cursor) *authz.Decision {
	d := &authz.Decision{}
	if b := c.peek(); b == 't' || b == 'f' {
		d.Allowed = c.boolean()
		return d
	}
	for key := range c.fields {
		switch key {
		case "allowed":
			d.Allowed = c.boolean()
		case "reasons":
			d.Reasons = c.texts()
			slices.Sort(d.Reasons)
		case "http_status":
			d.Status = int(c.integer())
		case "headers":
			d.Headers = readHeaders(c)
		case "request_headers_to_remove":
			d.RemoveRequestHeaders = c.texts()
		case "response_headers_to_add":
			d.ResponseHeaders = readHeaders(c)
		case "body":
			d.Body = c.text()
		case "query_parameters_to_set":
			for _, h := range readHeaders(c) {
				d.QuerySet = append(d.QuerySet, authz.QueryParameter(h))
			}
		case "query_parameters_to_remove":
			d.QueryRemove = c.texts()
		case "dynamic_metadata":
			d.Metadata, _ = c.value().(map[string]any)
		case "rate_limits":
			for range c.elements {
				d.Charges = append(d.Charges, readCharge(c))
			}
		case "stream_until":
			d.StreamUntil = c.end()
		case "explain":
			d.Explain = c.boolean()
		default:
			c.skip()
		}
	}
	return d
}

func readHeaders(c *cursor) []authz.Header {
	var out []authz.Header
	for name := range c.fields {
		if c.peek() == '[' {
			for range c.elements {
				out = append(out, authz.Header{Name: name, Value: c.text()})
			}
			continue
		}
		out = append(out, authz.Header{Name: name, Value: c.text()})
	}
	return out
}

func readCharge(c *cursor) authz.Charge {
	x := authz.Charge{Cost: 1}
	for key := range c.fields {
		switch key {
		case "name":
			x.Name = c.text()
		case "key":
			x.Key = c.text()
		case "requests_per_second":
			x.Rate, _ = strconv.ParseFloat(c.number(), 64)
		case "burst":
			x.Burst = int(c.integer())
		case "cost":
			x.Cost = int(c.integer())
		default:
			c.skip()
		}
	}
	return x
}

// end is the end of a stream: RFC 3339, or nanoseconds since 1970.
func (c *cursor) end() time.Time {
	if c.peek() == '"' {
		return c.time()
	}
	n, err := strconv.ParseFloat(c.number(), 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(0, int64(n)).UTC()
}
