package pages

import (
	"fmt"
	"html/template"
	"net/url"
	"strings"
	"time"

	"github.com/boombuler/barcode/qr"
)

// SecondFactorView is the page that asks for a second factor, or for whatever
// somebody who is signed in has to show again. ReturnTo must have been checked.
type SecondFactorView struct {
	// Status is the answer's status; 0 means 200.
	Status int
	Email  string
	// With is the way that the page is about: "app", "passkey", "recovery" or
	// "password". Ways are all that there are, in that order.
	With string
	Ways []string
	// Options are what the browser is given for a passkey, as JSON.
	Options        string
	ReturnTo, CSRF string
	// StepUp says that somebody is signed in, Wrong that the field is the cause.
	StepUp, Wrong bool
	Notice        *Notice
}

// keyForm is a form that a passkey's reply is sent by.
type keyForm struct {
	Action, Deed, Options, Text, ReturnTo, CSRF, Name string
	Primary                                           bool
}

type way struct{ URL, Text, Icon string }

// SecondFactor renders the page.
func (r *Renderer) SecondFactor(v SecondFactorView) Page {
	d := struct {
		shell
		SecondFactorView
		Heading, Lead, SignInURL, Script string
		KeyForm                          keyForm
		Others                           []way
	}{shell: r.own, SecondFactorView: v}
	d.SecondFactorView.Email = shown(v.Email, maxEmailShown)
	switch v.With {
	case "app":
		d.Heading, d.Lead = "Enter your code", "Six digits from the authenticator app."
	case "passkey":
		d.Heading, d.Lead = "Use your passkey", "Unlock it with your fingerprint, face or device PIN."
		d.KeyForm = keyForm{Action: "/oauth2/second_factor", Deed: "get", Options: v.Options, Text: "Use a passkey", ReturnTo: v.ReturnTo, CSRF: v.CSRF, Primary: true}
		d.Script = r.script
	case "recovery":
		d.Heading, d.Lead = "Enter a recovery code", "One of the ten that you were shown when you set this up. It is void afterwards."
	default:
		d.Heading, d.Lead = "Enter your password again", "What comes next changes how you sign in."
	}
	if d.Title = "Second factor"; !v.StepUp {
		d.SignInURL = SignInAt("", v.ReturnTo)
	}
	texts := map[string]way{"app": {Text: "Code", Icon: "phone"}, "passkey": {Text: "Passkey", Icon: "key"}, "recovery": {Text: "Recovery code", Icon: "sheet"}}
	for _, name := range v.Ways {
		if w, ok := texts[name]; ok && name != v.With {
			w.URL = SecondFactorAt(name, v.ReturnTo)
			d.Others = append(d.Others, w)
		}
	}
	return r.render("secondfactor", r.scriptCSP(d.Script), orStatus(v.Status), d)
}

// SecondFactorAt is the path of that page for one way, "" for the first there
// is, that leads to a checked target.
func SecondFactorAt(with, returnTo string) string {
	q := url.Values{}
	if with != "" {
		q.Set("with", with)
	}
	if returnTo != "" {
		q.Set("rd", returnTo)
	}
	if len(q) == 0 {
		return "/oauth2/second_factor"
	}
	return "/oauth2/second_factor?" + q.Encode()
}

// passkeyAt is the path of the page on which a passkey signs somebody in.
func passkeyAt(returnTo string) string {
	if returnTo == "" {
		return "/oauth2/passkey"
	}
	return "/oauth2/passkey?rd=" + url.QueryEscape(returnTo)
}

// PasskeySignInView is the page on which a passkey alone signs somebody in.
type PasskeySignInView struct {
	Status                  int
	Options, ReturnTo, CSRF string
	Notice                  *Notice
}

// PasskeySignIn renders it.
func (r *Renderer) PasskeySignIn(v PasskeySignInView) Page {
	d := struct {
		shell
		SecondFactorView
		Heading, Lead, SignInURL, Script string
		KeyForm                          keyForm
		Others                           []way
	}{
		shell: r.own, SecondFactorView: SecondFactorView{With: "passkey", Options: v.Options, Notice: v.Notice},
		Heading: "Sign in with a passkey", Lead: "Unlock it with your fingerprint, face or device PIN.", SignInURL: SignInAt("local", v.ReturnTo), Script: r.script,
		KeyForm: keyForm{Action: "/oauth2/passkey", Deed: "get", Options: v.Options, Text: "Use a passkey", ReturnTo: v.ReturnTo, CSRF: v.CSRF, Primary: true},
	}
	d.Title = "Sign in with a passkey"
	return r.render("secondfactor", r.scriptCSP(r.script), orStatus(v.Status), d)
}

// FactorView is one factor in a list.
type FactorView struct {
	ID, Name string
	AddedAt  time.Time
	UsedAt   time.Time // zero for never
}

// SecurityView is the account page's part about second factors. ReturnTo must
// have been checked.
type SecurityView struct {
	Status               int
	Email                string
	App                  *FactorView
	Passkeys             []FactorView
	CodesLeft, CodesMade int
	ReturnTo, CSRF       string
	Notice               *Notice
}

// Security renders it.
func (r *Renderer) Security(v SecurityView) Page {
	type row struct{ ID, Name, Sub string }
	onward := ""
	d := struct {
		shell
		Email, App, Codes, ReturnTo, CSRF string
		AppURL, PasskeyURL                string
		Enrolled, FewCodes                bool
		Passkeys                          []row
		Notice                            *Notice
	}{
		shell: r.own, Email: shown(v.Email, maxEmailShown), ReturnTo: v.ReturnTo, CSRF: v.CSRF, Notice: v.Notice,
		Enrolled: v.App != nil || len(v.Passkeys) > 0, FewCodes: v.CodesLeft < 3,
	}
	if v.ReturnTo != "" {
		onward = "?rd=" + url.QueryEscape(v.ReturnTo)
	}
	d.AppURL, d.PasskeyURL = "/account/security/app"+onward, "/account/security/passkey"+onward
	if d.Title = "Second factors"; v.CodesMade > 0 {
		d.Codes = fmt.Sprintf("%d of %d left", v.CodesLeft, v.CodesMade)
	} else {
		d.Codes = "none yet"
	}
	if v.App != nil {
		d.App = r.since(v.App)
	}
	for i := range v.Passkeys {
		k := &v.Passkeys[i]
		d.Passkeys = append(d.Passkeys, row{k.ID, shown(k.Name, 60), r.since(k)})
	}
	return r.render("security", r.ownCSP(), orStatus(v.Status), d)
}

func (r *Renderer) since(f *FactorView) string {
	s := "Added " + f.AddedAt.In(r.location).Format("2 January 2006")
	if !f.UsedAt.IsZero() {
		s += " · last used " + f.UsedAt.In(r.location).Format("2 January 2006")
	}
	return s
}

// AppSetupView is the page on which an authenticator app learns its key.
type AppSetupView struct {
	Status int
	Email  string
	// Key is base32, URI what the QR code holds.
	Key, URI       string
	ReturnTo, CSRF string
	Wrong          bool
	Notice         *Notice
}

// AppSetup renders it.
func (r *Renderer) AppSetup(v AppSetupView) (Page, error) {
	path, size, err := qrPath(v.URI)
	if err != nil {
		return Page{}, err
	}
	d := struct {
		shell
		Email, QR, ReturnTo, CSRF string
		QRSize                    int
		Key                       []string
		Wrong                     bool
		Notice                    *Notice
	}{shell: r.own, Email: shown(v.Email, maxEmailShown), QR: path, QRSize: size, ReturnTo: v.ReturnTo, CSRF: v.CSRF, Wrong: v.Wrong, Notice: v.Notice}
	d.Title, d.Wide = "Authenticator app", true
	for key := v.Key; key != ""; {
		n := min(4, len(key))
		d.Key, key = append(d.Key, key[:n]), key[n:]
	}
	return r.render("appsetup", r.ownCSP(), orStatus(v.Status), d), nil
}

// qrQuiet is the margin of a QR code in modules (ISO/IEC 18004, 9.1).
const qrQuiet = 4

// qrPath draws a QR code as an SVG path, one rectangle a run of dark modules:
// a picture would need another request or an exception of the CSP.
func qrPath(text string) (path string, size int, err error) {
	code, err := qr.Encode(text, qr.M, qr.Unicode)
	if err != nil {
		return "", 0, fmt.Errorf("pages: QR code: %w", err)
	}
	n := code.Bounds().Dx()
	dark := func(x, y int) bool {
		red, _, _, _ := code.At(x, y).RGBA()
		return red == 0
	}
	var b strings.Builder
	for y := range n {
		for x := 0; x < n; x++ {
			if !dark(x, y) {
				continue
			}
			from := x
			for x < n && dark(x, y) {
				x++
			}
			fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", from+qrQuiet, y+qrQuiet, x-from, x-from)
		}
	}
	return b.String(), n + 2*qrQuiet, nil
}

// KeySetupView is the page on which a passkey is made.
type KeySetupView struct {
	Status int
	Email  string
	// Name is what the form suggests to call it.
	Name, Options, ReturnTo, CSRF string
	Notice                        *Notice
}

// KeySetup renders it.
func (r *Renderer) KeySetup(v KeySetupView) Page {
	d := struct {
		shell
		Email, Script string
		KeyForm       keyForm
		Notice        *Notice
	}{
		shell: r.own, Email: shown(v.Email, maxEmailShown), Script: r.script, Notice: v.Notice,
		KeyForm: keyForm{Action: "/account/security/passkey", Deed: "create", Options: v.Options, Text: "Add a passkey", ReturnTo: v.ReturnTo, CSRF: v.CSRF, Name: shown(v.Name, 60), Primary: true},
	}
	d.Title = "Add a passkey"
	return r.render("keysetup", r.scriptCSP(r.script), orStatus(v.Status), d)
}

// CodesView shows new recovery codes. Next is a path, or was checked.
type CodesView struct {
	Email, Next string
	Codes       []string
	Now         time.Time
}

// Codes renders them.
func (r *Renderer) Codes(v CodesView) Page {
	d := struct {
		shell
		Email, Next, Made string
		Codes             []string
	}{shell: r.own, Email: shown(v.Email, maxEmailShown), Next: v.Next, Made: v.Now.In(r.location).Format("2 January 2006"), Codes: v.Codes}
	d.Title = "Recovery codes"
	return r.render("codes", r.ownCSP(), 200, d)
}

// scriptCSP is the policy of a page with a script of the gate's own, or without.
func (r *Renderer) scriptCSP(script string) string {
	if script == "" {
		return r.ownCSP()
	}
	return r.ownCSP() + "; script-src 'self'"
}

// funcs are what templates compute.
func funcs() template.FuncMap {
	return template.FuncMap{"tone": func(tone string) string {
		if tone == "good" {
			return "yes"
		}
		return "alert"
	}}
}
