package console

import (
	"errors"
	"math"
	"net/http"
	"strconv"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/web/pages"
)

// explain says what an error of accounts and organizations means to whoever
// sent the form; ok is false for one that is the gate's own trouble.
func (c *Console) explain(w http.ResponseWriter, err error) (status int, text string, ok bool) {
	guesses, tooMany := errors.AsType[*session.TooManyGuessesError](err)
	switch {
	case tooMany:
		seconds := max(1, int(math.Ceil(guesses.RetryAfter.Seconds())))
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		return http.StatusTooManyRequests, "Too many attempts came for this account or from this address. The next one is looked at in " + pages.InWords(seconds) + ".", true
	case errors.Is(err, session.ErrBusy):
		w.Header().Set("Retry-After", "1")
		return http.StatusTooManyRequests, "Too many people do this at the moment. Nothing is wrong with what you typed; try again in a second.", true
	case errors.Is(err, session.ErrCredentials):
		return http.StatusUnprocessableEntity, "The password is wrong.", true
	case errors.Is(err, session.ErrLink):
		return http.StatusForbidden, "This link has been used, or is too old, or never was one.", true
	case errors.Is(err, session.ErrLastAdmin):
		return http.StatusConflict, "This is the last account with the role admin that can sign in. Give the role to another one first.", true
	case errors.Is(err, session.ErrNoOrganization):
		return http.StatusUnprocessableEntity, "There is no such organization any more. Choose another one.", true
	case errors.Is(err, session.ErrOrganizationExists):
		return http.StatusConflict, "Another organization has this name already. Choose a different one.", true
	case errors.Is(err, session.ErrUserExists):
		return http.StatusConflict, "There is an account of this email already.", true
	case errors.Is(err, session.ErrNoMail):
		return http.StatusServiceUnavailable, "This gate sends no mail. An administrator can set a new password.", true
	case errors.Is(err, session.ErrRegistrationClosed):
		return http.StatusForbidden, "Only who is invited can make an account here.", true
	case errors.Is(err, session.ErrBadUser):
		return http.StatusUnprocessableEntity, sentence(err), true
	}
	return 0, "", false
}
