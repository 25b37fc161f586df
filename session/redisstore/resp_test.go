package redisstore

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/neosc/gate/session"
)

// replies are whole values as servers send them.
var replies = []string{
	"+OK\r\n", "-ERR no\r\n", ":7\r\n", "_\r\n", "$-1\r\n", "$3\r\nabc\r\n", "$0\r\n\r\n", "#t\r\n", ",1.5\r\n", "(123\r\n",
	"*-1\r\n", "*0\r\n", "*2\r\n:1\r\n*1\r\n+x\r\n", "%1\r\n+role\r\n+master\r\n", "~1\r\n:1\r\n", "=5\r\ntxt:x\r\n", "!3\r\nERR\r\n",
	">2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\nkey\r\n", ">2\r\n$10\r\ninvalidate\r\n_\r\n",
}

func TestWireReadsEveryKindOfValue(t *testing.T) {
	t.Parallel()
	w := newWire(strings.NewReader(strings.Join(replies, "")))
	for _, text := range replies {
		r, err := w.next()
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if r.kind != text[0] && r.kind != '_' {
			t.Errorf("%q was read as %q", text, r.kind)
		}
		if err := w.skip(r, 0); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestWireRefusesWhatIsNoValue(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "\r\n", "+OK\n", "?x\r\n", "$x\r\n", "$-2\r\n", "$99999999\r\n", "$3\r\nab", "$3\r\nabcde", "*99999999999\r\n", "*x\r\n",
		"+" + strings.Repeat("x", maxText) + "\r\n", strings.Repeat("*1\r\n", 20) + ":1\r\n",
	} {
		w := newWire(strings.NewReader(text))
		r, err := w.next()
		if err == nil {
			err = w.skip(r, 0)
		}
		if err == nil {
			t.Errorf("%.20q was taken", text)
		}
	}
}

// heard runs what a server sent through a feed.
func heard(text string) (keys []session.Key, err error) {
	hub, err := session.NewHub(slog.New(slog.DiscardHandler), nil, "")
	if err != nil {
		return nil, err
	}
	defer hub.Watch(func(k session.Key) { keys = append(keys, k) })()
	f := &feed{Hub: hub, prefix: "p:r:"}
	w := newWire(strings.NewReader(text))
	for {
		r, err := w.next()
		if err != nil {
			return keys, err
		}
		if r.kind == '>' {
			err = f.push(w, r)
		} else {
			err = w.skip(r, 0)
		}
		if err != nil {
			return keys, err
		}
	}
}

func TestPushesTellKeys(t *testing.T) {
	t.Parallel()
	key := session.Key{1, 2, 3}
	name := "$68\r\np:r:" + key.String() + "\r\n"
	tests := map[string]struct {
		text string
		want []session.Key
	}{
		"OneKey":        {">2\r\n$10\r\ninvalidate\r\n*1\r\n" + name, []session.Key{key}},
		"TwoKeys":       {">2\r\n$10\r\ninvalidate\r\n*2\r\n" + name + name, []session.Key{key, key}},
		"Flush":         {">2\r\n$10\r\ninvalidate\r\n_\r\n", []session.Key{{}}},
		"FlushAsRESP2":  {">2\r\n$10\r\ninvalidate\r\n*-1\r\n", []session.Key{{}}},
		"NotARecord":    {">2\r\n$10\r\ninvalidate\r\n*1\r\n$6\r\np:r:xy\r\n", nil},
		"SomethingElse": {">2\r\n$7\r\nmessage\r\n*1\r\n" + name, nil},
		"OtherShape":    {">3\r\n$7\r\nmessage\r\n+a\r\n+b\r\n", nil},
	}
	for what, c := range tests {
		got, _ := heard(c.text)
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, want %v", what, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: %v, want %v", what, got, c.want)
			}
		}
	}
}

func FuzzWire(f *testing.F) {
	for _, text := range replies {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := heard(text); err == nil {
			t.Error("the end of the stream is no error")
		}
	})
}
