package extauthz

import "github.com/neosc/gate/authz"

// leashKey is the context extension by which the edge says that it will have
// what is allowed held, and the key of the metadata that says whose it is.
const leashKey = "leash"

// addTicket gives a stream its ticket, where the edge will ask for one. Without
// it the stream could be held by nobody, so its request fails.
func (s *Server) addTicket(c *call) bool {
	if c.r.Extensions[leashKey] == "" {
		return true
	}
	if s.opt.Ticket == nil {
		s.opt.Logger.Error("the edge asks for streams to be held and this gate holds none", "route", c.r.RouteName)
		s.fault(c, authz.ReasonInternalError)
		return false
	}
	ticket, err := s.opt.Ticket(&c.r, &c.o)
	if err != nil {
		s.opt.Logger.Error("a stream cannot be held", "error", err, "route", c.r.RouteName, "request_id", clip(c.r.ID, 128))
		s.fault(c, authz.ReasonInternalError)
		return false
	}
	c.resp.Metadata(leashKey, ticket)
	return true
}
