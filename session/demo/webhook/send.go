package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/neosc/gate/session"
	"github.com/neosc/gate/session/demo/internal/outbound"
)

// Bounds on replies: a word, and the ids of all grants of which something is left.
const (
	maxReply = 16 << 10
	maxList  = 4 << 20
)

// send makes one try: who calls it tries again.
func (s *Step) send(ctx context.Context, id string, e event, limit int64) (outbound.Answer, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return outbound.Answer{}, err
	}
	keys, err := s.secrets.current()
	if err != nil {
		return outbound.Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.place.Target, bytes.NewReader(body))
	if err != nil {
		return outbound.Answer{}, err
	}
	now := s.o.Clock()
	req.Header = http.Header{
		"Content-Type": {"application/json"}, "Accept": {"application/json"}, "User-Agent": {"neosc-gate"}, "Webhook-Id": {id},
		"Webhook-Timestamp": {strconv.FormatInt(now.Unix(), 10)}, "Webhook-Signature": {sign(keys, id, now, body)},
	}
	return s.place.Do(req, limit, now)
}

// outcome says what an answer to demo.start or demo.end means.
func outcome(a outbound.Answer) error {
	var said struct {
		Status string `json:"status"`
		Error  string `json:"error"`
	}
	_ = json.Unmarshal(a.JSON, &said) // what is no JSON says nothing
	err := fmt.Errorf("it answered %d", a.Status)
	if said.Error != "" {
		err = fmt.Errorf("it answered %d: %q", a.Status, outbound.Words(said.Error))
	}
	switch {
	case a.Status == http.StatusOK && said.Status == "done":
		return nil
	case a.Status == http.StatusAccepted, a.Status == http.StatusOK && said.Status == "pending":
		err = session.ErrStepPending
	case a.Status == http.StatusOK:
		return errors.New(`it answered 200 without {"status":"done"}`)
	case final(a.Status):
		return fmt.Errorf("%w: %w", session.ErrStepRefused, err)
	case a.Status >= 300 && a.Status < 400:
		return fmt.Errorf("%w, and redirects are not followed", err)
	}
	return a.Delayed(err)
}

// final reports whether a status will be the same next time.
func final(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status < 500
}
