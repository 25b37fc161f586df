package access

import (
	"strings"

	"github.com/neosc/gate/session"
)

// objects are inputs that only hold others.
var objects = map[string]bool{
	"": true, "attributes": true, "attributes.request": true, "attributes.request.http": true, "attributes.request.http.headers": true,
	"attributes.contextExtensions": true, "attributes.source": true, "attributes.source.address": true, "attributes.source.address.socketAddress": true,
	"attributes.destination": true, "attributes.destination.address": true, "attributes.destination.address.socketAddress": true,
	"parsed_query": true, "route": true, "route.policy": true, "route.identity_headers": true, "session": true, "session.user": true, "session.claims": true,
}

// varied are inputs that the matrix has several values of, whatever rules say.
// What is neither here nor in texted is said to be unexplored.
var varied = map[string]bool{
	"route.name": true, "route.identity_headers.prefix": true, "attributes.contextExtensions.route": true, "attributes.request.http.method": true,
	"session.user.email_verified": true, "session.authenticated_at": true,
}

// texted are inputs that are texts or lists of them: what is changed for one that
// rules or data name.
var texted = map[string]func(text string) []named{
	"session.groups": func(text string) []named {
		return []named{{"in the group " + text, func(s *situation) { s.person.Groups = []string{text} }}}
	},
	"session.provider": func(text string) []named {
		return []named{{"from the provider " + text, func(s *situation) { s.provider = text }}}
	},
	"session.amr": func(text string) []named {
		return []named{{"with the factor " + text, func(s *situation) { s.amr = []string{text} }}}
	},
	"session.user.id": func(text string) []named {
		return []named{{"with the id " + text, func(s *situation) { s.person.UserID = text }}}
	},
	"session.user.name": func(text string) []named {
		return []named{{"with the name " + text, func(s *situation) { s.person.Name = text }}}
	},
	"session.user.organization": func(text string) []named {
		return []named{{"of the organization " + text, func(s *situation) { s.person.Organization = text }}}
	},
	"session.user.email": func(text string) []named {
		switch at := strings.Index(text, "@"); {
		case at == 0:
			text = "somebody" + text
		case at < 0 && !strings.Contains(text, "."):
			return nil
		case at < 0:
			text = "somebody@" + strings.TrimPrefix(text, ".")
		}
		return []named{{"with the email " + text, func(s *situation) { s.person.Email = text }}}
	},
	"attributes.request.http.host": func(text string) []named {
		return []named{{"at the host " + text, func(s *situation) { s.host = text }}}
	},
	"attributes.source.address.socketAddress.address": func(text string) (out []named) {
		for _, a := range prefixEnds(text) {
			out = append(out, named{"from the address " + a.String(), func(s *situation) { s.source = a }})
		}
		return out
	},
	"session.kind": func(text string) []named {
		return []named{{"by a session of the kind " + text, func(s *situation) { s.kind = session.Kind(text) }}}
	},
}
