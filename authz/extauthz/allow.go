package extauthz

import (
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/extauthz/wire"
	"github.com/neosc/gate/session"
)

// streamLimitHeader ends the stream at Envoy after that many milliseconds.
// Only an integer ≥ 1 is a limit: 0, negative or text mean none.
const streamLimitHeader = "x-envoy-upstream-stream-duration-ms"

// allow answers with the decision's mutations: identity in, credentials out.
func (s *Server) allow(c *call) {
	r, d := &c.r, c.o.Decision
	for i, h := range d.Headers {
		if !s.opt.Settable(h.Name) || h.Name == s.opt.AssertionHeader {
			// Envoy would answer 500 for it; say whose fault it is instead. What the
			// gate signs is the gate's to set.
			s.opt.Logger.Error("policy sets a request header that set_headers of the routes file does not name, or the signed identity", "header", h.Name, "route", r.RouteName)
			s.fault(c, authz.ReasonPolicyError)
			return
		}
		if value, first := listed(d.Headers, i); first {
			c.resp.Overwrite(h.Name, value)
		}
	}
	if r.Session != nil && r.Route.PassIdentityHeaders {
		token, err := s.opt.Assertion(r.Session, r.Host, r.Time)
		if err != nil {
			s.opt.Logger.Error("the identity cannot be signed", "error", err, "route", r.RouteName, "request_id", clip(r.ID, 128))
			s.fault(c, authz.ReasonInternalError)
			return
		}
		c.resp.Overwrite(s.opt.AssertionHeader, token)
	}
	for _, name := range d.RemoveRequestHeaders {
		c.resp.RemoveHeader(name)
	}
	if !r.Route.Gate {
		s.stripCredentials(c)
	}
	if c.o.StreamFor > 0 {
		ms := max(1, c.o.StreamFor.Milliseconds())
		var digits [20]byte // on the stack, as the string is: nothing keeps it
		c.resp.Overwrite(streamLimitHeader, string(strconv.AppendInt(digits[:0], ms, 10)))
	}
	for _, h := range d.ResponseHeaders {
		c.resp.ResponseHeader(h.Name, h.Value)
	}
	if bad, fine := setQuery(c, d); !fine {
		s.opt.Logger.Error("policy sets a query parameter that needs percent-encoding, which Envoy refuses with validate_mutations on", "parameter", bad, "route", r.RouteName)
		s.fault(c, authz.ReasonPolicyError)
		return
	}
	addMetadata(c, &c.o)
	if !s.addTicket(c) {
		return
	}
	c.kind, c.code = wire.Ok, 0
}

// listed returns the value that the i-th header goes out with, and whether it is
// the first of its name. Of several values for one name Envoy would keep the
// last alone, so they go as one list (RFC 9110, 5.3).
func listed(hs []authz.Header, i int) (value string, first bool) {
	name := hs[i].Name
	for _, h := range hs[:i] {
		if h.Name == name {
			return "", false
		}
	}
	value = hs[i].Value
	for _, h := range hs[i+1:] {
		if h.Name == name {
			value += ", " + h.Value
		}
	}
	return value, true
}

// setQuery adds the decision's query parameters. Envoy does not encode them and,
// checking mutations as it does here, answers 500 for any that is encoded (seen
// with 1.40 for each of % + ~): so only what needs no encoding can be set, and
// anything else is refused with its name rather than sent on unencoded.
func setQuery(c *call, d *authz.Decision) (bad string, fine bool) {
	for _, q := range d.QuerySet {
		if !plainQuery(q.Name) || !plainQuery(q.Value) {
			return q.Name, false
		}
		c.resp.SetQuery(q.Name, q.Value)
	}
	for _, name := range d.QueryRemove {
		c.resp.RemoveQuery(url.QueryEscape(name))
	}
	return "", true
}

func plainQuery(s string) bool { return url.QueryEscape(s) == s && !strings.Contains(s, "~") }

// stripCredentials takes the session cookie and Authorization out of what goes
// upstream: applications trust what the edge injected and never see a
// credential that would open their siblings.
func (s *Server) stripCredentials(c *call) {
	if _, n := c.r.Headers.Get("authorization"); n > 0 && !c.r.Route.PassAuthorization {
		c.resp.RemoveHeader("authorization")
	}
	rest, found := c.cookies[:0], false
	for i := range c.r.Headers {
		if c.r.Headers[i].Name != "cookie" {
			continue
		}
		before := len(rest)
		if before > 0 {
			rest = append(rest, "; "...)
		}
		start := len(rest)
		var had bool
		rest, had = session.AppendStripped(rest, c.r.Headers[i].Value, s.opt.CookieName)
		found = found || had
		if kept := rest[start:]; !utf8.Valid(kept) {
			rest = append(rest[:start], readableCookies(string(kept))...)
		}
		if len(rest) == start {
			rest = rest[:before]
		}
	}
	c.cookies = rest
	switch {
	case !found:
	case len(rest) == 0:
		c.resp.RemoveHeader("cookie")
	default: // setting Cookie overwrites every field of that name
		c.resp.OverwriteBytes("cookie", rest)
	}
}

// readableCookies leaves out cookies whose bytes are not UTF-8, which no cookie
// may have (RFC 6265, section 4.1.1). The answer is a protobuf string: one such
// byte would fail it whole, and any sibling host could toss such a cookie and
// lock people out. Envoy takes no raw bytes here.
func readableCookies(header string) string {
	var kept []string
	for pair := range strings.SplitSeq(header, ";") {
		if utf8.ValidString(pair) {
			kept = append(kept, strings.Trim(pair, " \t"))
		}
	}
	return strings.Join(kept, "; ")
}

// addMetadata is what Envoy's access log prints of the decision: one line there
// tells the whole request. Ours win over policy's own dynamic_metadata.
func addMetadata(c *call, o *authz.Outcome) {
	w := &c.resp
	if o.Decision != nil {
		addPolicyMetadata(c, o.Decision.Metadata)
		w.Metadata("policy_revision", o.Decision.Revision)
	}
	w.Metadata("decision", o.Verdict.String())
	reason := o.Reasons[0]
	if len(o.Reasons) > 1 {
		reason = strings.Join(o.Reasons, ",")
	}
	w.Metadata("reason", reason)
	if s := c.r.Session; s != nil {
		w.Metadata("user", s.Identity.UserID)
		w.Metadata("email", s.Identity.Email)
		var short [16]byte // as session.Key.Short, which allocates
		hex.Encode(short[:], s.Key[:len(short)/2])
		w.Metadata("session", string(short[:]))
	}
}

// addPolicyMetadata adds what can be said in a Struct. Of a key that comes twice
// Envoy keeps the last, which is ours.
func addPolicyMetadata(c *call, values map[string]any) {
	for k, v := range values {
		if pv, err := structpb.NewValue(v); err == nil {
			c.resp.MetadataValue(k, pv)
		}
	}
}

// fault answers that the decision cannot be carried out, for a reason that is
// policy's or our own.
func (s *Server) fault(c *call, reason string) {
	c.resp.Reset()
	s.deny(c, &authz.Outcome{Verdict: authz.Failed, Status: 503, Reasons: []string{reason}, Session: c.o.Session})
}
