package web

import (
	"net/http"
	"strings"
	"testing"
)

func TestClientAddressIsEnvoysWord(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		external, forwarded []string
		want                string
	}{
		"External":        {[]string{"203.0.113.9"}, []string{"198.51.100.1"}, "203.0.113.9"},
		"ExternalV6":      {[]string{"2001:db8::1"}, nil, "2001:db8::1"},
		"Mapped":          {[]string{"::ffff:203.0.113.9"}, nil, "203.0.113.9"},
		"LastForwarded":   {nil, []string{"6.6.6.6, 10.0.0.7"}, "10.0.0.7"},
		"LastOfSeveral":   {nil, []string{"6.6.6.6", "7.7.7.7, 10.0.0.7"}, "10.0.0.7"},
		"ExternalTwice":   {[]string{"1.1.1.1", "2.2.2.2"}, []string{"10.0.0.7"}, "10.0.0.7"},
		"Junk":            {[]string{"evil\r\n"}, []string{"x, y"}, ""},
		"Zone":            {[]string{"fe80::1%eth0"}, nil, "fe80::1"},
		"Nothing":         {nil, nil, ""},
		"EndsWithAComma":  {nil, []string{"1.1.1.1,"}, ""},
		"WithPortIsNoneX": {[]string{"1.1.1.1:80"}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &http.Request{Header: http.Header{"X-Envoy-External-Address": tt.external, "X-Forwarded-For": tt.forwarded}}
			if got := ClientAddr(r); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	good := newHouse(t).h.o
	good.Registerer = nil
	for name, breakIt := range map[string]func(*Options){
		"Pages":       func(o *Options) { o.Pages = nil },
		"Apps":        func(o *Options) { o.Apps = nil },
		"JWKS":        func(o *Options) { o.JWKS = nil },
		"FormKeys":    func(o *Options) { o.FormKeys = nil },
		"GateOrigin":  func(o *Options) { o.GateOrigin = "https://gate.kappa4.com/" },
		"one label":   func(o *Options) { o.Cookie.Domain = "localhost" },
		"Options.Log": func(o *Options) { o.Logger = nil },
	} {
		o := good
		breakIt(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
