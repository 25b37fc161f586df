package replay_test

import (
	"os"
	"strings"
	"testing"

	"github.com/neosc/gate/authz/observe/decisionlog"
	"github.com/neosc/gate/bundles/replay"
)

// TestBrokenLinesAreHeldAgainstRecords: of a log with lines of each sort, how
// many are broken and whether it can still be called a log.
func TestBrokenLinesAreHeldAgainstRecords(t *testing.T) {
	t.Parallel()
	j := judge(t, source(t))
	text, err := os.ReadFile(record(t, j, traffic(t, j, 2000), 1))
	if err != nil {
		t.Fatal(err)
	}
	all := strings.SplitAfter(string(text), "\n")
	if len(all) < 4 {
		t.Fatalf("%d records are too few", len(all))
	}
	three := strings.Join(all[:3], "")
	for name, c := range map[string]struct {
		log            string
		left           bool // out, by Only
		broken, cutOff int64
		unreadable     bool
	}{
		"Whole":                  {three, false, 0, 0, false},
		"AsManyBroken":           {three + strings.Repeat("broken\n", 3), false, 3, 0, false},
		"MoreBroken":             {three + strings.Repeat("broken\n", 4), false, 4, 0, true},
		"OtherRecordsCount":      {three + strings.Repeat("broken\n", 3), true, 3, 0, false},
		"MoreBrokenThanOthers":   {three + strings.Repeat("broken\n", 4), true, 4, 0, true},
		"LastLineCutOff":         {three + "{\"decision_id\":", false, 0, 1, false},
		"NothingButACutOffLine":  {"{\"decision_id\":", false, 0, 1, false},
		"BrokenAndCutOff":        {"broken\n{\"decision_id\":", false, 1, 1, true},
		"NoRecordButAWholeValue": {three + "{}\n", false, 1, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := replay.Options{Judge: j}
			if c.left {
				o.Only = func(*decisionlog.Record) bool { return false }
			}
			r, err := replay.Reader(t.Context(), o, "log", strings.NewReader(c.log))
			if err != nil {
				t.Fatal(err)
			}
			if r.Broken() != c.broken || r.CutOff != c.cutOff || r.Unreadable() != c.unreadable {
				t.Errorf("%d broken, %d cut off, unreadable %v of %d and %d others: %+v", r.Broken(), r.CutOff, r.Unreadable(), r.Records, r.Others, r.Bad)
			}
		})
	}
}
