package audit

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

const (
	dayForm = time.DateOnly
	// maxNote bounds one checkpoint in bytes; ours have some 250.
	maxNote = 64 << 10
)

// ErrUnknownKey is wrapped where a checkpoint is signed by none of the keys that
// are known.
var ErrUnknownKey = errors.New("it is signed by none of the known keys")

// Checkpoint says where a trail was at one instant. Signed, and kept where the
// gate's machine cannot change it, it proves later that nothing before it was
// changed, taken out or cut off.
//
// Its text is that of a checkpoint of transparency logs (C2SP tlog-checkpoint):
// the trail's name, the number of the last entry, its hash in base64; then when
// it was made and the day that it seals, if any. The hash is the chain's and no
// Merkle tree's.
type Checkpoint struct {
	Head
	// At is when it was signed, in whole seconds.
	At time.Time
	// Day is the UTC day (2026-03-05) of which, and of those before it, Head is
	// the last entry; "" if it seals none.
	Day string
}

// sign returns the checkpoint as a signed note.
func (c Checkpoint) sign(k *Keys) ([]byte, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%d\n%s\ntime %s\n", k.signer.Name(), c.Number, base64.StdEncoding.EncodeToString(c.Hash[:]), c.At.UTC().Format(time.RFC3339))
	if c.Day != "" {
		fmt.Fprintf(&b, "sealed %s\n", c.Day)
	}
	return note.Sign(&note.Note{Text: b.String()}, k.signer)
}

// ParseCheckpoint reads a signed note. The error wraps ErrUnknownKey if none of
// the keys signed it; a signature by one of them that is wrong is another error.
func ParseCheckpoint(signed []byte, keys note.Verifiers) (Checkpoint, error) {
	n, err := note.Open(signed, keys)
	if err != nil {
		if _, unknown := errors.AsType[*note.UnverifiedNoteError](err); unknown {
			err = ErrUnknownKey
		}
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	c, err := parseText(n.Text, n.Sigs[0].Name)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	return c, nil
}

func parseText(text, signer string) (c Checkpoint, err error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 4 || lines[0] != signer {
		return c, errors.New("it is signed, but says nothing of a trail")
	}
	number, err := strconv.ParseUint(lines[1], 10, 63)
	hash, err2 := base64.StdEncoding.DecodeString(lines[2])
	at, isTime := strings.CutPrefix(lines[3], "time ")
	when, err3 := time.Parse(time.RFC3339, at)
	if err := errors.Join(err, err2, err3); err != nil || !isTime || len(hash) != len(c.Hash) {
		return c, errors.New("it is signed, but not as a checkpoint of an audit trail is written")
	}
	c = Checkpoint{Head: Head{number, Hash(hash)}, At: when.UTC()}
	if len(lines) > 4 {
		day, isSeal := strings.CutPrefix(lines[4], "sealed ")
		if _, err := time.Parse(dayForm, day); err != nil || !isSeal {
			return c, errors.New("it is signed, but seals no day")
		}
		c.Day = day
	}
	return c, nil
}

// ReadCheckpoints reads signed notes that stand one after another, as they are
// appended to a file. One that no known key signed is an error: what is read
// here comes from where nobody else writes.
func ReadCheckpoints(r io.Reader, keys note.Verifiers) ([]Checkpoint, error) {
	var all []Checkpoint
	err := eachNote(r, func(first int, signed []byte) error {
		c, err := ParseCheckpoint(signed, keys)
		if err != nil {
			return fmt.Errorf("line %d: %w", first, err)
		}
		all = append(all, c)
		return nil
	})
	return all, err
}

// eachNote takes a stream apart: a note ends with lines that begin with a dash,
// and blank lines may stand between two.
func eachNote(r io.Reader, do func(line int, signed []byte) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxNote)
	var one bytes.Buffer
	signed, line, first := false, 0, 0
	flush := func() error {
		if one.Len() == 0 {
			return nil
		}
		defer func() { one.Reset(); signed = false }()
		return do(first, one.Bytes())
	}
	for s.Scan() {
		line++
		isSignature := strings.HasPrefix(s.Text(), "— ")
		if signed && !isSignature {
			if err := flush(); err != nil {
				return err
			}
		}
		if one.Len() == 0 {
			if s.Text() == "" {
				continue
			}
			first = line
		}
		if one.Len()+len(s.Bytes()) > maxNote {
			return fmt.Errorf("line %d: a checkpoint of more than %d bytes", first, maxNote)
		}
		signed = signed || isSignature
		one.Write(s.Bytes())
		one.WriteByte('\n')
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("line %d: %w", line+1, err)
	}
	return flush()
}
