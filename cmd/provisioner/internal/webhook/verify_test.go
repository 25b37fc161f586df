package webhook

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

func secrets(t testing.TB, texts ...string) Secrets {
	t.Helper()
	lines := ""
	for _, x := range texts {
		lines += "whsec_" + base64.StdEncoding.EncodeToString([]byte(x)) + "\n"
	}
	s, err := ParseSecrets([]byte(lines))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const (
	first  = "the first secret of the tests: 32"
	second = "the second secret of the tests: 3"
)

// TestSignatureIsThatOfStandardWebhooks uses the vector that its libraries share.
func TestSignatureIsThatOfStandardWebhooks(t *testing.T) {
	t.Parallel()
	s, err := ParseSecrets([]byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"))
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	sent := time.Unix(1614265330, 0)
	s.Sign(h, "msg_p5jXN8AQM9LWM0D4loKWxJek", sent, []byte(`{"test": 2432232314}`))
	if got, want := h.Get("webhook-signature"), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Fatalf("signature %s, want %s", got, want)
	}
	if err := s.Verify(h, []byte(`{"test": 2432232314}`), sent); err != nil {
		t.Error(err)
	}
}

func TestVerifyTellsTheGateFromOthers(t *testing.T) {
	t.Parallel()
	s := secrets(t, first, second)
	body := []byte(`{"type":"demo.end"}`)
	signed := func(by Secrets, sent time.Time) http.Header {
		h := http.Header{}
		by.Sign(h, "msg_1", sent, body)
		return h
	}
	with := func(name string, values ...string) http.Header {
		h := signed(s[:1], noon)
		h[http.CanonicalHeaderKey(name)] = values
		return h
	}
	good := signed(s[:1], noon).Get(headerSignature)
	for name, c := range map[string]struct {
		header http.Header
		body   string
		want   error
	}{
		"TheFirstSecret":         {signed(s[:1], noon), "", nil},
		"TheSecondSecret":        {signed(s[1:], noon), "", nil},
		"BothSecrets":            {signed(s, noon), "", nil},
		"FiveMinutesOld":         {signed(s, noon.Add(-5*time.Minute)), "", nil},
		"FiveMinutesAhead":       {signed(s, noon.Add(5*time.Minute)), "", nil},
		"OlderThanThat":          {signed(s, noon.Add(-5*time.Minute-time.Second)), "", errLate},
		"MoreAheadThanThat":      {signed(s, noon.Add(5*time.Minute+time.Second)), "", errLate},
		"AnothersSecret":         {signed(secrets(t, "somebody else's secret, which is long"), noon), "", errSignature},
		"AnotherBody":            {signed(s, noon), `{"type":"demo.start"}`, errSignature},
		"AnotherID":              {with("webhook-id", "msg_2"), "", errSignature},
		"AnotherTime":            {with("webhook-timestamp", "1772712001"), "", errSignature},
		"NoID":                   {with("webhook-id"), "", errHeaders},
		"NoTime":                 {with("webhook-timestamp"), "", errHeaders},
		"NoSignature":            {with("webhook-signature"), "", errHeaders},
		"EmptySignature":         {with("webhook-signature", ""), "", errSignature},
		"TwoIDs":                 {with("webhook-id", "msg_1", "msg_2"), "", errHeaders},
		"TwoSignatureHeaders":    {with("webhook-signature", good, good), "", errHeaders},
		"IDThatTakesTheTime":     {with("webhook-id", "msg_1.1772712000"), "", errSignature},
		"TimeWithASign":          {with("webhook-timestamp", "+1772712000"), "", errHeaders},
		"LongID":                 {with("webhook-id", strings.Repeat("m", 129)), "", errHeaders},
		"TimeInWords":            {with("webhook-timestamp", "noon"), "", errHeaders},
		"TimeBeyondNumbers":      {with("webhook-timestamp", "99999999999999999999"), "", errHeaders},
		"ManySignatures":         {with("webhook-signature", strings.Repeat("v1,AAAA ", 9)), "", errHeaders},
		"AnotherVersionBesides":  {with("webhook-signature", "v1a,AAAA "+good), "", nil},
		"AnotherVersionAlone":    {with("webhook-signature", strings.Replace(good, "v1,", "v2,", 1)), "", errSignature},
		"SignatureThatIsNoText":  {with("webhook-signature", "v1,%%%"), "", errSignature},
		"SignatureCutShort":      {with("webhook-signature", "v1,"+good[3:15]), "", errSignature},
		"SignatureOfNoCharacter": {with("webhook-signature", "v1,"), "", errSignature},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := body
			if c.body != "" {
				b = []byte(c.body)
			}
			if err := s.Verify(c.header, b, noon); err != c.want {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestSecretsFileIsReadStrictly(t *testing.T) {
	t.Parallel()
	long := base64.StdEncoding.EncodeToString([]byte(first))
	for name, c := range map[string]struct{ file, want string }{
		"CommentsAndEmptyLines": {"# since March\n\nwhsec_" + long + "\n", ""},
		"WithoutPadding":        {"whsec_" + strings.TrimRight(long, "="), ""},
		"NoSecret":              {"# none\n", "there is no secret"},
		"NoPrefix":              {long, "line 1: a secret begins with whsec_"},
		"NoBase64":              {"\nwhsec_%%%%", "line 2: what follows"},
		"TooShort":              {"whsec_" + base64.StdEncoding.EncodeToString([]byte("short")), "has 5 bytes"},
		"TooMany":               {strings.Repeat("whsec_"+long+"\n", 9), "9 secrets"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseSecrets([]byte(c.file))
			switch {
			case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			case err != nil && strings.Contains(err.Error(), long[:10]):
				t.Errorf("the error holds the secret: %v", err)
			}
		})
	}
}

// FuzzMessage: whatever comes in, nobody without the secret is believed, and no
// body gets past with an id that is none.
func FuzzMessage(f *testing.F) {
	f.Add("msg_1", "1772712000", "v1,AAAA", []byte(`{"type":"demo.end","step":"container","grant":{"id":"demo-1-ab"}}`))
	f.Add("", "", "", []byte(`{"type":"demo.start","grant":{"id":"../x","expires_at":"2030-01-01T00:00:00Z"}}`))
	f.Add("a", "-1", "v1, v1,", []byte(`{"type":"demo.end","grant":{"id":"demo-1-a\n"}}{}`))
	s := Secrets{[]byte("a secret that the fuzzer has not: 1")}
	f.Fuzz(func(t *testing.T, id, stamp, signature string, body []byte) {
		h := http.Header{headerID: {id}, headerTimestamp: {stamp}, headerSignature: {signature}}
		if s.Verify(h, body, noon) == nil {
			t.Fatal("a stranger is believed")
		}
		e, err := decode(body, noon)
		if err != nil || e.Type == TypeList {
			return
		}
		if strings.ContainsAny(e.Grant.ID, "/.%?# \n\"") || len(e.Grant.ID) > 63 || !strings.HasPrefix(e.Grant.ID, "demo-") {
			t.Fatalf("id %q", e.Grant.ID)
		}
		if e.Type == TypeStart && !e.Grant.ExpiresAt.After(noon) {
			t.Fatal("a grant that has ended starts")
		}
	})
}
