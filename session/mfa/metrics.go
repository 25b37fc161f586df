package mfa

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/neosc/gate/session"
)

// The methods, as metric labels.
const (
	methodApp      = "totp"
	methodPasskey  = "passkey"
	methodRecovery = "recovery"
)

func newMetrics(reg prometheus.Registerer, prefix string) (*prometheus.CounterVec, error) {
	m := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: prefix + "second_factor_total", Help: "Second factors that were looked at, by method and outcome.",
	}, []string{"method", "outcome"})
	for _, method := range []string{methodApp, methodPasskey, methodRecovery} {
		for _, outcome := range []string{"success", "wrong", "too_many_guesses", "unavailable"} {
			m.WithLabelValues(method, outcome) // from zero on, so that a rate sees the first one
		}
	}
	if reg != nil {
		if err := reg.Register(m); err != nil {
			return nil, fmt.Errorf("register metric: %w", err)
		}
	}
	return m, nil
}

// count counts how a check ended and returns its error.
func (st *Store) count(method string, err error) error {
	outcome := "unavailable"
	_, tooMany := errors.AsType[*session.TooManyGuessesError](err)
	switch {
	case err == nil:
		outcome = "success"
	case errors.Is(err, session.ErrFactor):
		outcome = "wrong"
	case tooMany:
		outcome = "too_many_guesses"
	}
	st.metrics.WithLabelValues(method, outcome).Inc()
	return err
}
