package api

// served is an address and what answers there.
type served struct {
	Route
	handler
}

// table lists all addresses but those of the description.
func (a *API) table() []served {
	out := []served{
		{Route{"POST", "/api/auth/login", Public}, a.login},
		{Route{"POST", "/api/auth/refresh", Public}, a.refresh},
		{Route{"POST", "/api/auth/logout", Session}, a.logout},
		{Route{"GET", "/api/auth/me", Session}, a.me},
		{Route{"GET", "/api/sessions", Session}, a.listSessions},
		{Route{"DELETE", "/api/sessions", Session}, a.endSessions},
		{Route{"DELETE", "/api/sessions/{session}", Session}, a.endSession},
	}
	if a.o.Factors != nil && a.o.Identifier != nil {
		out = append(out, served{Route{"POST", "/api/auth/login/second-factor", Public}, a.secondFactor})
	}
	if a.o.Registrar != nil {
		out = append(out,
			served{Route{"POST", "/api/auth/register", Public}, a.register},
			served{Route{"POST", "/api/auth/verify-email", Public}, a.verifyEmail},
			served{Route{"POST", "/api/auth/password-reset", Public}, a.askReset},
			served{Route{"POST", "/api/auth/password-reset/confirm", Public}, a.reset},
			served{Route{"POST", "/api/users/me/password", Session}, a.changePassword},
		)
	}
	if a.o.Members != nil {
		out = append(out,
			served{Route{"GET", "/api/users/me", Session}, a.profile},
			served{Route{"PATCH", "/api/users/me", Session}, a.changeProfile},
			served{Route{"GET", "/api/users", Admin}, a.listUsers},
			served{Route{"GET", "/api/users/{user}", Admin}, a.user(a.getUser)},
			served{Route{"PATCH", "/api/users/{user}", Admin}, a.user(a.changeUser)},
			served{Route{"DELETE", "/api/users/{user}", Admin}, a.user(a.deleteUser)},
		)
	}
	if a.o.Organizations != nil {
		out = append(out,
			served{Route{"GET", "/api/organizations", Session}, a.listOrganizations},
			served{Route{"POST", "/api/organizations", Admin}, a.createOrganization},
			served{Route{"GET", "/api/organizations/{organization}", Admin}, a.ofOrganization(a.getOrganization)},
			served{Route{"PATCH", "/api/organizations/{organization}", Admin}, a.ofOrganization(a.changeOrganization)},
			served{Route{"GET", "/api/organizations/{organization}/invitations", Admin}, a.ofOrganization(a.listInvitations)},
			served{Route{"POST", "/api/organizations/{organization}/invitations", Admin}, a.ofOrganization(a.invite)},
			served{Route{"DELETE", "/api/organizations/{organization}/invitations/{invitation}", Admin}, a.ofOrganization(a.revokeInvitation)},
			served{Route{"POST", "/api/invitations/accept", Session}, a.accept},
		)
	}
	return append(append(out, a.demoTable()...), a.switchTable()...)
}
