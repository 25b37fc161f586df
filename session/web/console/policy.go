package console

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/pages"
)

const (
	policyPath = "/admin/policy"
	// stateTime is how long the page waits for what is counted.
	stateTime = 5 * time.Second
	// maxBundleID is more than an id of a bundle has.
	maxBundleID = 128
)

func (c *Console) policy(w http.ResponseWriter, r *http.Request) {
	if s := c.o.Frame.Administrator(w, r); s != nil {
		c.showPolicy(w, r, s, 0, nil)
	}
}

func (c *Console) showPolicy(w http.ResponseWriter, r *http.Request, s *session.Session, status int, n *pages.Notice) {
	ctx, cancel := context.WithTimeout(r.Context(), stateTime)
	defer cancel()
	v := pages.PolicyView{Viewer: c.viewer(w, r, s), State: c.o.Policy.PolicyState(ctx)}
	if n != nil {
		v.Notice, v.Status = n, status
	}
	c.o.Frame.Show(w, c.o.Pages.Policy(v))
}

// changePolicy promotes or drops what is in shadow, or goes back to a bundle.
func (c *Console) changePolicy(w http.ResponseWriter, r *http.Request) {
	s, form := c.adminForm(w, r)
	if s == nil {
		return
	}
	var done deed
	var err error
	switch form.Get("do") {
	case "promote":
		// What is promoted is what the page showed, whatever was put there since.
		since, bad := strconv.ParseInt(form.Get("since"), 10, 64)
		if bad != nil {
			err = session.ErrPolicyWish
			break
		}
		done, err = donePromoted, c.o.Policy.PromoteShadow(as(r, s), time.Unix(0, since))
	case "drop":
		done, err = doneDropped, c.o.Policy.DropShadow(as(r, s))
	case "back":
		to := form.Get("to")
		if to == "" || len(to) > maxBundleID {
			err = session.ErrPolicyWish
			break
		}
		done, err = doneBack, c.o.Policy.GoBack(as(r, s), to)
	default:
		err = session.ErrPolicyWish
	}
	switch {
	case err == nil:
		c.done(w, r, s, policyPath, done, 0)
	case errors.Is(err, session.ErrPolicyWish):
		text := "Nothing has changed."
		if why := strings.TrimPrefix(err.Error(), session.ErrPolicyWish.Error()+": "); why != session.ErrPolicyWish.Error() {
			text += " " + strings.ToUpper(why[:1]) + why[1:] + "."
		}
		c.showPolicy(w, r, s, http.StatusConflict, bad(text))
	default:
		c.o.Frame.Trouble(w, r, "changing the policy", err)
	}
}
