package switches

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/neosc/gate/session"
)

// maxCopy bounds the file: 1000 values with who set them fit well.
const maxCopy = 1 << 20

// copied is the file of the values that were in force last.
type copied struct {
	Stored []copiedSwitch `json:"switches"`
}

type copiedSwitch struct {
	Name      string               `json:"name"`
	Value     *session.SwitchValue `json:"value"`
	Version   uint64               `json:"version"`
	ChangedAt time.Time            `json:"changed_at"`
	ChangedBy string               `json:"changed_by"`
}

// keepCopy writes the file in one step, for a start while the store is away.
func (k *Keeper) keepCopy(stored []session.StoredSwitch) error {
	if k.b.Copy == "" {
		return nil
	}
	c := copied{Stored: []copiedSwitch{}}
	for _, x := range stored {
		c.Stored = append(c.Stored, copiedSwitch(x))
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(k.b.Copy), ".policy-switches-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), k.b.Copy)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // what is left of it, if anything
	}
	return err
}

// fromCopy is a store that has what the file says and keeps nothing.
type fromCopy string

func (f fromCopy) LoadSwitches(context.Context) ([]session.StoredSwitch, error) {
	file, err := os.Open(string(f))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxCopy+1))
	if err != nil {
		return nil, err
	}
	var c copied
	if len(text) > maxCopy {
		return nil, fmt.Errorf("%s has more than %d bytes", string(f), maxCopy)
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, fmt.Errorf("%s: %w", string(f), err)
	}
	var out []session.StoredSwitch
	for _, x := range c.Stored {
		out = append(out, session.StoredSwitch(x))
	}
	return out, nil
}
