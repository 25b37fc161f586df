package engine

import (
	"net/netip"
	"time"

	"github.com/neosc/gate/authz"
)

// text returns the value of a slot that is a text.
func (s *slot) text(b *builder, r *authz.Request) (text string, there bool) {
	switch s.kind {
	case slotID:
		return r.ID, true
	case slotMethod:
		return r.Method, true
	case slotPath:
		return r.Path, true
	case slotHost:
		return r.Host, true
	case slotScheme:
		return r.Scheme, true
	case slotProtocol:
		return r.Protocol, true
	case slotTime:
		return timeText(r.Time), true
	case slotHeader:
		return b.header(r.Headers, s.name)
	case slotExtension:
		text, there = r.Extensions[s.name]
		return text, there
	case slotSourceAddress:
		return addressText(r.Source.Addr)
	case slotSourcePrincipal:
		return r.Source.Principal, r.Source.Principal != ""
	case slotDestinationAddress:
		return addressText(r.Destination.Addr)
	case slotDestinationPrincipal:
		return r.Destination.Principal, r.Destination.Principal != ""
	case slotRouteName:
		if r.Route == nil {
			return "", true
		}
		return r.Route.Name, true
	case slotPrefix:
		return b.prefix, r.Route != nil && r.Route.PassIdentityHeaders
	}
	return s.sessionText(r)
}

func (s *slot) sessionText(r *authz.Request) (text string, there bool) {
	if r.Session == nil {
		return "", false
	}
	id := &r.Session.Identity
	switch s.kind {
	case slotSessionID:
		return r.Session.Key.String(), true
	case slotUserID:
		return id.UserID, true
	case slotEmail:
		return id.Email, true
	case slotUserName:
		return id.Name, id.Name != ""
	case slotOrganization:
		return id.Organization, id.Organization != ""
	case slotProvider:
		return id.Provider, true
	case slotAuthenticatedAt:
		return timeText(id.AuthenticatedAt), true
	case slotExpiresAt:
		return timeText(r.Session.ExpiresAt), true
	default:
		return string(r.Session.Kind), true
	}
}

func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func addressText(a netip.AddrPort) (text string, there bool) {
	if !a.IsValid() {
		return "", false
	}
	return a.Addr().Unmap().WithZone("").String(), true
}

// header returns one header as headers puts it into the input document.
func (b *builder) header(hs authz.Headers, name string) (value string, there bool) {
	separator := ", "
	if name == "cookie" {
		separator = "; "
	}
	for i := range hs {
		if hs[i].Name != name {
			continue
		}
		v := hs[i].Value
		if name == "cookie" {
			if v = b.withoutSession(v); v == "" {
				continue
			}
		}
		if there {
			v = value + separator + v
		}
		value, there = v, true
	}
	return value, there
}
