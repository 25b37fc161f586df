package pages

import (
	"fmt"
	"slices"
	"testing"
)

func TestFormTargetsStayBounded(t *testing.T) {
	t.Parallel()
	few := []string{"https://portal.kappa4.com", "https://*.apps.kappa4.com"}
	if got := formSources(few); !slices.Equal(got, few) {
		t.Errorf("a few are listed as they are, got %q", got)
	}
	many := []string{"https://kappa4.com", "https://10.0.0.7:8443", "http://shop.example.co.uk", "https://idp.elsewhere.org:444"}
	for i := range 5000 {
		many = append(many, fmt.Sprintf("https://h%d.portal.kappa4.com", i))
	}
	want := []string{"http://*.example.co.uk", "https://*.elsewhere.org:444", "https://*.kappa4.com", "https://10.0.0.7:8443", "https://kappa4.com"}
	if got := formSources(many); !slices.Equal(got, want) {
		t.Errorf("of many hosts of a domain that domain, got %q", got)
	}
	for i := range 5000 {
		many = append(many, fmt.Sprintf("https://www.customer-%d.com", i))
	}
	if got := formSources(many); !slices.Equal(got, []string{"http:", "https:"}) {
		t.Errorf("of many domains their schemes, got %q", got)
	}
	p, err := New(Options{GateOrigin: "https://gate.kappa4.com", FormTargets: many})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(p.ownCSP()); n > maxFormTargets+512 {
		t.Errorf("the header has %d bytes", n)
	}
	if !p.FormsLeadTo("https://www.customer-77.com/x") || p.FormsLeadTo("https://www.customer-77.org/x") {
		t.Error("where forms lead is still exact")
	}
}
