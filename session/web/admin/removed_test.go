package admin

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// forgotten notes whose second factors were removed.
type forgotten struct {
	Factors
	of   []string
	fail error
}

func (f *forgotten) RemoveFactors(_ context.Context, id string) error {
	f.of = append(f.of, id)
	return f.fail
}

func TestARemovedAccountLeavesNoSecondFactors(t *testing.T) {
	t.Parallel()
	f := &forgotten{}
	x := newRig(t, func(o *Options) { o.Factors = f })
	for _, fail := range []error{nil, errors.New("the disk is full")} {
		f.of, f.fail = nil, fail
		made, err := x.AddUser(t.Context(), NewUser{Email: "nora@kappa4.com", Password: "a long enough one"})
		if err != nil {
			t.Fatal(err)
		}
		// It is removed all the same, and the log says what is left.
		if _, err := x.RemoveUser(t.Context(), "nora@kappa4.com"); err != nil || len(f.of) != 1 || f.of[0] != made.User.ID {
			t.Errorf("error %v, second factors of %q were removed, want those of %s", err, f.of, made.User.ID)
		}
		if strings.Contains(x.log.String(), "are still kept") != (fail != nil) {
			t.Errorf("with error %v the log says %s", fail, x.log)
		}
	}
}
