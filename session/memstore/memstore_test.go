package memstore_test

import (
	"testing"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/memstore"
	"github.com/neosc/gate/session/storetest"
)

func TestStoreKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) session.Store {
		st := memstore.New()
		t.Cleanup(func() { _ = st.Close() })
		return st
	})
}
