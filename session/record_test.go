package session_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

// The records of three releases: those of an older gate lack what came later,
// those of a newer one have what this one does not know.
const (
	formerRecord = `{"kind":"browser","identity":{"provider":"local","user_id":"ana","email":"ana@example.com","email_verified":true,
		"roles":["user"],"authenticated_at":"2026-03-05T10:15:30Z"},
		"created_at":"2026-03-05T10:15:30Z","expires_at":"2026-03-05T18:15:30Z","idle_expires_at":"2026-03-05T11:15:30Z","version":1}`
	presentRecord = `{"kind":"browser","identity":{"provider":"idp","issuer":"https://idp.example","subject":"s","user_id":"ana","email":"ana@example.com",
		"email_verified":true,"name":"Ana","organization":"o","roles":["user"],"groups":["g"],"claims":{"n":9007199254740993},"amr":["pwd"],
		"authenticated_at":"2026-03-05T10:15:30Z"},"idp_session":"sid",
		"created_at":"2026-03-05T10:15:30Z","expires_at":"2026-03-05T18:15:30Z","idle_expires_at":"2026-03-05T11:15:30Z","version":7}`
)

func newerRecord() string {
	r := strings.Replace(presentRecord, `{"kind"`, `{"form":2,"devices":[{"id":"d","seen":{"at":1e300}}],"kind"`, 1)
	return strings.Replace(r, `"provider"`, `"assurance":{"level":3},"provider"`, 1)
}

func decode(t *testing.T, record string) *session.Session {
	t.Helper()
	s, err := session.DecodeRecord(session.Key{1}, []byte(record))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRecordsOfOtherReleasesAreRead(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 5, 10, 15, 30, 0, time.UTC)
	former := decode(t, formerRecord)
	if former.Identity.UserID != "ana" || former.Version != 1 || former.IdPSession != "" || former.Identity.Groups != nil || !former.LiveAt(now) {
		t.Errorf("the former record came back as %+v", former)
	}
	present, newer := decode(t, presentRecord), decode(t, newerRecord())
	if present.Identity.Claims["n"] != json.Number("9007199254740993") || present.IdPSession != "sid" || present.Version != 7 {
		t.Errorf("the present record came back as %+v", present)
	}
	if !reflect.DeepEqual(present, newer) {
		t.Errorf("what a newer gate added changed what this one reads:\n%+v\n%+v", present, newer)
	}
	for _, s := range []*session.Session{former, newer} { // updated by this gate
		b, err := session.EncodeRecord(s)
		if err != nil {
			t.Fatal(err)
		}
		if again := decode(t, string(b)); !reflect.DeepEqual(again, s) {
			t.Errorf("got  %+v\nwant %+v", again, s)
		}
	}
}

// A gate of a former release knew fewer fields: the others must not be in its
// way.
func TestAFormerGateReadsThePresentRecord(t *testing.T) {
	t.Parallel()
	var known struct {
		Kind     session.Kind
		Identity struct {
			UserID string `json:"user_id"`
			Roles  []string
		}
		ExpiresAt time.Time `json:"expires_at"`
		Version   uint64
	}
	b, err := session.EncodeRecord(decode(t, presentRecord))
	if err == nil {
		err = json.Unmarshal(b, &known)
	}
	if err != nil || known.Kind != session.Browser || known.Identity.UserID != "ana" || known.Version != 7 || known.ExpiresAt.IsZero() {
		t.Errorf("%+v, error %v", known, err)
	}
}
