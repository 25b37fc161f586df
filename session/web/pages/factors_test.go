package pages

import (
	"fmt"
	"image"
	"image/color"
	"strings"
	"testing"
	"time"

	"github.com/boombuler/barcode/qr"
)

const otpURI = "otpauth://totp/NeoSC%20Gate%20of%20kappa4.com:nora@kappa4.com?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=NeoSC%20Gate%20of%20kappa4.com&algorithm=SHA1&digits=6&period=30"

// factorPages are the pages of second factors, in their states.
func factorPages(r *Renderer) map[string]Page {
	hostile := `{"challenge":"</script><script>alert(1)</script>","x":"\"'&"}`
	key := FactorView{ID: "a_b-c", Name: `<b>YubiKey</b>`, AddedAt: thursday.Add(-24 * time.Hour), UsedAt: thursday}
	all := SecurityView{
		Email: "nora@kappa4.com", App: &key, Passkeys: []FactorView{key, {ID: "x", Name: "Pixel 8", AddedAt: thursday}}, CodesLeft: 2, CodesMade: 10, CSRF: "tok",
		ReturnTo: "https://portal.kappa4.com/a", Notice: &Notice{"good", "The passkey is removed."},
	}
	ps := map[string]Page{
		"security":       r.Security(all),
		"security-none":  r.Security(SecurityView{Email: "nora@kappa4.com", CSRF: "tok"}),
		"keysetup":       r.KeySetup(KeySetupView{Email: "nora@kappa4.com", Name: "Pixel 8", Options: hostile, CSRF: "tok"}),
		"keysetup-wrong": r.KeySetup(KeySetupView{Status: 422, Options: hostile, CSRF: "tok", Notice: &Notice{"bad", "That passkey could not be taken."}}),
		"passkey":        r.PasskeySignIn(PasskeySignInView{Options: hostile, ReturnTo: "https://portal.kappa4.com/", CSRF: "tok"}),
		"codes":          r.Codes(CodesView{Email: "nora@kappa4.com", Next: "/account/security?rd=x", Codes: []string{"ABCDE-FGHJK", "LMNPQ-RSTUV"}, Now: thursday}),
	}
	for _, with := range []string{"app", "passkey", "recovery", "password"} {
		v := SecondFactorView{Email: "nora@kappa4.com", With: with, Ways: []string{"passkey", "app", "recovery"}, ReturnTo: "https://portal.kappa4.com/a?b=c&d", CSRF: "tok"}
		if with == "passkey" {
			v.Options = hostile
		}
		ps["factor-"+with] = r.SecondFactor(v)
		v.StepUp, v.Wrong, v.Status, v.Notice = true, true, 422, &Notice{"bad", "That code is not right."}
		ps["factor-wrong-"+with] = r.SecondFactor(v)
	}
	for name, notice := range map[string]*Notice{"appsetup": nil, "appsetup-wrong": {"bad", "That is not the code."}} {
		p, err := r.AppSetup(AppSetupView{Email: "nora@kappa4.com", Key: "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", URI: otpURI, CSRF: "tok", Wrong: notice != nil, Notice: notice})
		if err == nil {
			ps[name] = p
		}
	}
	return ps
}

func TestScriptsAreOnPagesOfPasskeysAndOfLiveDemosAlone(t *testing.T) {
	t.Parallel()
	for name, p := range every(renderer(t)) {
		has := strings.Contains(string(p.Body), "data-passkey=") || strings.Contains(string(p.Body), "data-every=")
		if allowed := strings.Contains(p.CSP, "script-src"); allowed != has {
			t.Errorf("%s: scripts are allowed: %v, the page needs one: %v", name, allowed, has)
		}
		if strings.Contains(string(p.Body), "<b>YubiKey") || strings.Contains(string(p.Body), "alert(1)</script>") {
			t.Errorf("%s shows a name as markup", name)
		}
	}
}

func TestAQRCodeIsDrawnAsItIs(t *testing.T) {
	t.Parallel()
	path, size, err := qrPath(otpURI)
	if err != nil {
		t.Fatal(err)
	}
	want, err := qr.Encode(otpURI, qr.M, qr.Unicode)
	if err != nil {
		t.Fatal(err)
	}
	drawn := image.NewGray(image.Rect(0, 0, size, size))
	for _, run := range strings.Split(strings.TrimSuffix(path, "z"), "z") {
		var x, y, w, back int
		if n, err := sscan(run, &x, &y, &w, &back); n != 4 || err != nil || w != back || w < 1 {
			t.Fatalf("the path has %q: %v", run, err)
		}
		for i := range w {
			drawn.SetGray(x+i, y, color.Gray{Y: 255})
		}
	}
	n := want.Bounds().Dx()
	if size != n+8 {
		t.Errorf("a size of %d for %d modules: the margin is 4 on each side", size, n)
	}
	for y := range size {
		for x := range size {
			dark := false
			if in := image.Pt(x-4, y-4); in.In(want.Bounds()) {
				red, _, _, _ := want.At(in.X, in.Y).RGBA()
				dark = red == 0
			}
			if dark != (drawn.GrayAt(x, y).Y == 255) {
				t.Fatalf("the module at %d, %d is dark: %v", x, y, dark)
			}
		}
	}
}

// sscan reads one rectangle of the path.
func sscan(run string, x, y, w, back *int) (int, error) {
	return fmt.Sscanf(run, "M%d %dh%dv1h-%d", x, y, w, back)
}
