package redisstore_test

import (
	"testing"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/storetest"
	"github.com/neosc/gate/test/redistest"
)

func TestSwitchesAreTheSameOnEveryGate(t *testing.T) {
	t.Parallel()
	o := options(common.URL)
	a, b := open(t, o), open(t, o)
	storetest.Switches(t, a, b)
}

func TestSwitchesOfAServerThatIsAwayAreUnknown(t *testing.T) {
	t.Parallel()
	s, err := redistest.TCP()
	started(t, s, err)
	st := open(t, options(s.URL))
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	_, err = st.LoadSwitches(t.Context())
	storetest.WantErr(t, err, session.ErrUnavailable)
	storetest.WantErr(t, st.PutSwitch(t.Context(), session.StoredSwitch{Name: "x", Version: 1}), session.ErrUnavailable)
}
