package audit_test

import (
	"encoding/base64"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/neosc/gate/authz/audit"
)

// tampering is what somebody does who owns the database, and what is said of it.
type tampering struct {
	name  string
	do    []string
	first uint64
	says  string
	// known is an end that was kept elsewhere.
	known []audit.Head
}

// tables are all that a trail has in its database.
var tables = []string{"audit_entries", "audit_head", "audit_start", "audit_checkpoints"}

// tried does one after another to the same trail, which is put right again between
// them.
func tried(t *testing.T, p place, want audit.Expected, all []tampering) {
	t.Helper()
	do := func(queries ...string) {
		t.Helper()
		for _, q := range queries {
			if _, err := p.db.Exec(q); err != nil {
				t.Fatalf("%s: %v", q, err)
			}
		}
	}
	for _, q := range []string{`UPDATE audit_entries SET at = at + 1`, `DELETE FROM audit_entries WHERE number > (SELECT number FROM audit_start)`} {
		if _, err := p.db.Exec(q); err == nil {
			t.Errorf("%s was let through", q)
		}
	}
	do(p.tamper...)
	for _, name := range tables {
		do(`CREATE TABLE was_` + name + ` AS SELECT * FROM ` + name)
	}
	for _, c := range all {
		do(c.do...)
		want := want
		want.Known = c.known
		_, err := audit.Verify(t.Context(), p.db, p.d, want)
		if e, ok := errors.AsType[*audit.TamperedError](err); !ok || e.Number != c.first || !strings.Contains(e.What, c.says) {
			t.Errorf("%s: found %v, want %q at %d", c.name, err, c.says, c.first)
		}
		for _, name := range tables {
			do(`DELETE FROM `+name, `INSERT INTO `+name+` SELECT * FROM was_`+name)
		}
		if _, err := audit.Verify(t.Context(), p.db, p.d, want); err != nil {
			t.Fatalf("%s: put right again it is %v", c.name, err)
		}
	}
}

func moved(from, to string) []string {
	return []string{`UPDATE audit_entries SET number = 99 WHERE number = ` + from, `UPDATE audit_entries SET number = ` + from + ` WHERE number = ` + to, `UPDATE audit_entries SET number = ` + to + ` WHERE number = 99`}
}

func TestTamperingIsFoundAndNamed(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		tr := p.open(t, nil)
		for i := range 10 {
			appendAll(t, tr, event("ana", i))
		}
		head, err := verify(t, p, audit.Head{})
		if err != nil || head.Number != 10 {
			t.Fatalf("untouched: %v, %v", head, err)
		}
		tried(t, p, audit.Expected{}, []tampering{
			{"Changed", []string{`UPDATE audit_entries SET event = (SELECT event FROM audit_entries WHERE number = 3) WHERE number = 7`}, 7, "entry 7 was changed", nil},
			{"ChangedLast", []string{`UPDATE audit_entries SET event = (SELECT event FROM audit_entries WHERE number = 3) WHERE number = 10`}, 10, "entry 10 was changed", nil},
			{"Removed", []string{`DELETE FROM audit_entries WHERE number IN (4, 5)`}, 4, "entries 4 to 5 were removed", nil},
			{"RemovedFirst", []string{`DELETE FROM audit_entries WHERE number = 1`}, 1, "entries 1 to 1 were removed", nil},
			{"RemovedAndRenumbered", []string{`DELETE FROM audit_entries WHERE number = 10`, `UPDATE audit_entries SET number = 10 WHERE number = 9`}, 9, "entries 9 to 9 were removed", nil},
			{"Reordered", moved("4", "5"), 4, "entry 4 was changed, or put in the place of another", nil},
			{"Inserted", []string{`INSERT INTO audit_entries SELECT 11, at, action, user_id, user_email, actor_id, actor_email, event, hash FROM audit_entries WHERE number = 10`}, 11, "entry 11 was changed, or put in the place of another", nil},
			{"Truncated", []string{`DELETE FROM audit_entries WHERE number > 8`}, 9, "entries 9 to 10 were cut off the end", nil},
			{"OtherColumns", []string{`UPDATE audit_entries SET user_id = 'mallory' WHERE number = 2`}, 2, "entry 2 is found under other words", nil},
			{"OtherHead", []string{`UPDATE audit_head SET hash = (SELECT hash FROM audit_entries WHERE number = 1)`}, 10, "head does not fit", nil},
			{"OtherStart", []string{`DELETE FROM audit_entries WHERE number <= 3`, `UPDATE audit_start SET number = 3, hash = (SELECT hash FROM was_audit_entries WHERE number = 3)`}, 1, "entries 1 to 3 are missing, and no key was given", nil},
			{"EverythingIsGone", []string{`DELETE FROM audit_entries`}, 1, "entries 1 to 10 were cut off the end", nil},
			{"TruncatedMended", []string{`DELETE FROM audit_entries WHERE number > 8`, `UPDATE audit_head SET number = 8, hash = (SELECT hash FROM audit_entries WHERE number = 8)`}, 9, "entries 9 to 10 were cut off the end", []audit.Head{head}},
		})
	})
}

// Days are sealed and taken out as a whole: where one ends and the next begins is no
// place to hide a change, nor is where the trail begins.
func TestTamperingIsFoundAtTheBordersOfDays(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, p place) {
		const keep = 2 * 24 * time.Hour
		s := newSeals(t, p, func(o *audit.NotaryOptions) { o.Keep = keep })
		for n := range 4 { // entries 1-3 on the 5th, which is taken out, 4-6, 7-9, and 10-13
			s.at(noon.AddDate(0, 0, n))
			s.add(t, 3)
			s.round(t)
		}
		want := s.expected(t)
		want.KeptFrom = audit.KeptFrom(noon.AddDate(0, 0, 3), keep)
		if span, err := audit.Verify(t.Context(), p.db, p.d, want); err != nil || span.Start.Number != 3 || span.End.Number != 13 {
			t.Fatalf("untouched: %+v, %v", span, err)
		}
		change := func(number string) []string {
			return []string{`UPDATE audit_entries SET event = (SELECT event FROM audit_entries WHERE number = 12) WHERE number = ` + number}
		}
		remove := func(number string) []string { return []string{`DELETE FROM audit_entries WHERE number = ` + number} }
		tried(t, p, want, []tampering{
			{"ChangedFirst", change("4"), 4, "entry 4 was changed", nil},
			{"ChangedLastOfADay", change("6"), 6, "entry 6 was changed", nil},
			{"ChangedFirstOfADay", change("7"), 7, "entry 7 was changed", nil},
			{"RemovedFirst", remove("4"), 4, "entries 4 to 4 were removed", nil},
			{"RemovedLastOfADay", remove("6"), 6, "entries 6 to 6 were removed", nil},
			{"RemovedFirstOfADay", remove("7"), 7, "entries 7 to 7 were removed", nil},
			{"MovedOverTheBorder", moved("6", "7"), 6, "entry 6 was changed, or put in the place of another", nil},
			{"RemovedADay", []string{`DELETE FROM audit_entries WHERE number BETWEEN 4 AND 6`}, 4, "entries 4 to 6 were removed", nil},
			{"RemovedADayAsIfItWereOver", []string{`DELETE FROM audit_entries WHERE number <= 6`, `UPDATE audit_start SET number = 6, hash = (SELECT hash FROM was_audit_entries WHERE number = 6)`}, 1, "2026-03-06, is to be kept still", nil},
			{"BeginsAmidADay", []string{`DELETE FROM audit_entries WHERE number <= 5`, `UPDATE audit_start SET number = 5, hash = (SELECT hash FROM was_audit_entries WHERE number = 5)`}, 1, "no sealed day ends with them", nil},
			{"NoSeal", []string{`DELETE FROM audit_checkpoints WHERE number = 3`}, 1, "no sealed day ends with them", nil},
			{"OtherSeal", []string{`UPDATE audit_checkpoints SET note = (SELECT note FROM was_audit_checkpoints WHERE number = 6) WHERE number = 3`}, 3, "is one of entry 6", nil},
			{"TruncatedToADay", []string{`DELETE FROM audit_entries WHERE number > 9`, `DELETE FROM audit_checkpoints WHERE number > 9`, `UPDATE audit_head SET number = 9, hash = (SELECT hash FROM audit_entries WHERE number = 9)`}, 10, "were cut off the end", nil},
		})
	})
}

// Whoever has the key too can sign that any day is over, or another beginning. What
// was exported shows that entries were there still, or were others.
func TestASealThatIsForgedIsFoundByWhatWasExported(t *testing.T) {
	t.Parallel()
	const keep = 3 * 24 * time.Hour
	s := newSeals(t, onSQLite(t), func(o *audit.NotaryOptions) { o.Keep = keep })
	s.add(t, 6)
	s.round(t)
	s.at(noon.AddDate(0, 0, 5))
	s.add(t, 5) // 7 to 11; the first six are sealed
	s.round(t)
	s.at(noon.AddDate(0, 0, 8))
	s.round(t) // and taken out
	want := s.expected(t)
	want.KeptFrom = audit.KeptFrom(noon.AddDate(0, 0, 8), keep)
	if span, err := audit.Verify(t.Context(), s.db, s.d, want); err != nil || span.Start.Number != 6 {
		t.Fatalf("untouched: %+v, %v", span, err)
	}
	var eleventh []byte
	if err := s.db.QueryRow(`SELECT hash FROM audit_entries WHERE number = 11`).Scan(&eleventh); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(s.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	signer, err := note.NewSigner(lines[len(lines)-1])
	if err != nil {
		t.Fatal(err)
	}
	forged := func(number, hash string) string {
		signed, err := note.Sign(&note.Note{Text: "audit.test\n" + number + "\n" + hash + "\ntime 2026-03-06T00:00:01Z\nsealed 2026-03-05\n"}, signer)
		if err != nil {
			t.Fatal(err)
		}
		return `INSERT INTO audit_checkpoints VALUES (` + number + `, 0, '2026-03-05', CAST('` + string(signed) + `' AS BLOB), 1)`
	}
	other := "AQ" + strings.Repeat("A", 41) + "="
	tried(t, s.place, want, []tampering{
		{"ADayThatIsToBeKept", []string{`DELETE FROM audit_entries WHERE number <= 11`, `DELETE FROM audit_checkpoints WHERE number = 11`, forged("11", base64.StdEncoding.EncodeToString(eleventh)),
			`UPDATE audit_start SET number = 11, hash = (SELECT hash FROM was_audit_entries WHERE number = 11)`}, 1, "it is to be kept still", nil},
		{"AnotherBeginning", []string{`DELETE FROM audit_checkpoints WHERE number = 6`, forged("6", other), `UPDATE audit_start SET hash = x'01` + strings.Repeat("00", 31) + `'`}, 6,
			"entry 6 or one before it was changed", nil},
	})
}
