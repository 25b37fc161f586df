package pages

import (
	"fmt"
	"strings"
	"time"

	"github.com/neosc/gate/session"
)

// SessionView is a session as its owner, or an administrator, sees it.
type SessionView struct {
	// Key names it and opens nothing.
	Key  session.Key
	Kind session.Kind
	// This says that it is the one by which the page is looked at.
	This bool
	// UserID, Person, Email and Roles are of whose it is; the owner's own page
	// needs none of them.
	UserID, Person, Email string
	Roles                 []string
	// Provider and Methods say how it began.
	Provider string
	Methods  []string
	// ClientIP and UserAgent are of its beginning, "" if they are not known.
	ClientIP, UserAgent string
	Created, Expires    time.Time
	// Used is about when it was last used, zero if that is not kept.
	Used time.Time
}

// sessionRow is a session in words.
type sessionRow struct {
	Key, UserID, Person, Email, Device, Icon, Address, With string
	// Account says that there is a page of whose it is.
	This, Account     bool
	Roles             []string
	Since, Seen, Ends Instant
}

func (r *Renderer) sessionRow(v SessionView, when func(time.Time) Instant) sessionRow {
	row := sessionRow{
		Key: v.Key.String(), UserID: v.UserID, Person: shown(or(v.Person, v.Email), 60), Email: shown(v.Email, maxEmailShown), This: v.This,
		Address: shown(v.ClientIP, 45), Icon: "laptop", Since: when(v.Created), Ends: when(v.Expires),
		Account: v.Provider == "local", With: signedInBy(v.Provider, v.Methods), Device: Device(v.UserAgent),
	}
	if !v.Used.IsZero() {
		row.Seen = when(v.Used)
	}
	for _, role := range v.Roles {
		row.Roles = append(row.Roles, shown(role, maxRoleShown))
	}
	switch v.Kind {
	case session.Service:
		row.Icon, row.Device = "key", "Service token"
	case session.Bearer:
		row.Icon, row.Device = "key", "App with a token"+in(row.Device)
	default:
		if strings.HasSuffix(row.Device, "iPhone") || strings.HasSuffix(row.Device, "Android") {
			row.Icon = "phone"
		}
		row.Device = or(row.Device, "Browser")
	}
	return row
}

func in(device string) string {
	if device == "" {
		return ""
	}
	return ", " + device
}

// signedInBy says how a session began.
func signedInBy(provider string, methods []string) string {
	words := map[string]string{
		session.AMRPassword: "password", session.AMROTP: "code", session.AMRRecovery: "recovery code", "hwk": "passkey", "swk": "passkey",
	}
	var out []string
	for _, m := range methods {
		if w := words[m]; w != "" && !strings.Contains(strings.Join(out, ","), w) {
			out = append(out, w)
		}
	}
	s := strings.Join(out, " and ")
	switch {
	case provider == "local" || provider == "":
		return or(s, "account here")
	case s == "":
		return shown(provider, 32)
	default:
		return shown(provider, 32) + ", " + s
	}
}

// Device names the program and the system that a User-Agent header tells of, as
// far as one can tell; "" if it tells nothing.
func Device(agent string) string {
	find := func(pairs [][2]string) string {
		for _, p := range pairs {
			if strings.Contains(agent, p[0]) {
				return p[1]
			}
		}
		return ""
	}
	// The order counts: most browsers name those before them, too.
	program := find([][2]string{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"HeadlessChrome/", "Chrome"}, {"Chrome/", "Chrome"}, {"CriOS/", "Chrome"},
		{"Safari/", "Safari"}, {"curl/", "curl"}, {"Go-http-client", "Go program"}, {"python", "Python program"},
	})
	system := find([][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"CrOS", "ChromeOS"}, {"Linux", "Linux"},
	})
	switch {
	case program != "" && system != "":
		return program + " on " + system
	default:
		return or(program, system)
	}
}

// AccountView is the page of somebody's own account.
type AccountView struct {
	Viewer
	Organization string
	MemberSince  time.Time
	// Local says that the account is the gate's own: its name and its password
	// are changed here. Provider is where it is kept else.
	Local    bool
	Provider string
	// Lifetime is the longest that a session lasts.
	Lifetime time.Duration
	Sessions []SessionView
	// More says that there are sessions that are not shown.
	More bool
	// Wrong names the field that is at fault: "name", "current" or "password".
	Wrong string
	// TypedName is what was typed as a name before, "" for the present one.
	TypedName string
	// MinPassword is the least characters of a password, MaxName the most of a name.
	MinPassword, MaxName int
}

// Account renders the page.
func (r *Renderer) Account(v AccountView) Page {
	d := struct {
		frame
		Email, FullName, Organization, Provider, Lifetime, Wrong string
		Roles                                                    []string
		Since                                                    Instant
		Local, More                                              bool
		Sessions                                                 []sessionRow
		Others, MinPassword, MaxName                             int
		OthersText                                               string
	}{
		frame: r.frame(v.Viewer, "account", "Your account"), Email: shown(v.Email, 254), FullName: shown(or(v.TypedName, v.Name), 200), Organization: shown(v.Organization, 60),
		Provider: shown(v.Provider, 32), Lifetime: InWords(int(v.Lifetime.Seconds())), Wrong: v.Wrong, Local: v.Local, More: v.More, MinPassword: v.MinPassword, MaxName: v.MaxName,
	}
	if !v.MemberSince.IsZero() {
		d.Since = Instant{v.MemberSince.In(r.location).Format("2 January 2006"), v.MemberSince.UTC().Format(time.DateOnly)}
	}
	for _, role := range v.Roles {
		d.Roles = append(d.Roles, shown(role, maxRoleShown))
	}
	for _, s := range v.Sessions {
		d.Sessions = append(d.Sessions, r.sessionRow(s, r.local))
		if !s.This {
			d.Others++
		}
	}
	d.OthersText = fmt.Sprintf("Ends %s. This browser stays signed in.", Counted(d.Others, "other session", "other sessions"))
	return r.render("account", r.ownCSP(), orStatus(v.Status), d)
}
