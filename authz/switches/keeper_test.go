package switches

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/neosc/gate/session"
)

var noon = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

// set is the data of a policy set with two switches.
func set(t testing.TB, edits ...string) map[string]any {
	t.Helper()
	text := `{"other": {"x": 1}, "neosc": {"routes": {}, "switches": {"hours": true, "burst": 20}, "switch_info": {
		"hours": {"type": "boolean", "title": "Hours"},
		"burst": {"type": "integer", "title": "Burst", "description": "How many at once.", "min": 1, "max": 100}}}}`
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(text, edits[i]) {
			t.Fatalf("there is no %s", edits[i])
		}
		text = strings.Replace(text, edits[i], edits[i+1], 1)
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var out map[string]any
	if err := d.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// memory is a store that can be away.
type memory struct {
	mu   sync.Mutex
	all  map[string]session.StoredSwitch
	down error
	puts error // of PutSwitch alone
}

func (m *memory) LoadSwitches(context.Context) ([]session.StoredSwitch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []session.StoredSwitch
	for _, name := range []string{"burst", "hours", "old"} {
		if x, ok := m.all[name]; ok {
			out = append(out, x)
		}
	}
	return out, m.down
}

func (m *memory) PutSwitch(_ context.Context, x session.StoredSwitch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := errors.Join(m.down, m.puts); err != nil {
		return err
	}
	if m.all[x.Name].Version+1 != x.Version {
		return session.ErrSwitchChanged
	}
	m.all[x.Name] = x
	return nil
}

func (m *memory) away(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = err
}

// trail keeps events in memory.
type trail struct {
	events []session.Event
	down   error
}

func (t *trail) Append(_ context.Context, e ...session.Event) error {
	if t.down == nil {
		t.events = append(t.events, e...)
	}
	return t.down
}

// rig is a keeper with a policy set in the place of an engine.
type rig struct {
	*Keeper
	t          *testing.T
	store      *memory
	trail      *trail
	data       map[string]any // of the set
	refuse     func(map[string]any) error
	live       map[string]any // what the program of now was compiled of
	revision   string
	generation uint64
	copy       string
}

func newRig(t *testing.T, edits ...string) *rig {
	t.Helper()
	return &rig{t: t, store: &memory{all: map[string]session.StoredSwitch{}}, trail: &trail{}, data: set(t, edits...), copy: filepath.Join(t.TempDir(), "copy.json")}
}

// start makes the keeper, as a gate that starts does.
func (r *rig) start() error {
	r.t.Helper()
	var err error
	if r.Keeper, err = New(Options{Logger: slog.New(slog.DiscardHandler), Clock: func() time.Time { return noon }}); err != nil {
		r.t.Fatal(err)
	}
	r.revision, r.generation = "", 0
	if err := r.activate(); err != nil {
		r.t.Fatal(err)
	}
	return r.Open(r.t.Context(), Backing{Store: r.store, Audit: r.trail, Copy: r.copy, Activate: r.activate, Active: func() (string, uint64) { return r.revision, r.generation }})
}

func (r *rig) activate() error {
	data, revision, err := r.Fold(r.data, "base")
	if err == nil && r.refuse != nil {
		err = r.refuse(data)
	}
	if err != nil || revision == r.revision {
		return err
	}
	r.live, r.revision = data, revision
	r.generation++
	return nil
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// stands is what the program of now reads.
func (r *rig) stands(name string, want any) {
	r.t.Helper()
	if got := r.live["neosc"].(map[string]any)["switches"].(map[string]any)[name]; got != want {
		r.t.Errorf("%s stands at %v, want %v", name, got, want)
	}
}

func (r *rig) turn(name, value string, version uint64) (session.Switch, error) {
	ctx := session.WithOrigin(r.t.Context(), session.Origin{Actor: session.Person{ID: "u1", Email: "amara@kappa4.com"}, RequestID: "req-1"})
	if value == "" {
		return r.SetSwitch(ctx, name, nil, version)
	}
	v, err := session.ParseSwitchValue(value)
	r.must(err)
	return r.SetSwitch(ctx, name, &v, version)
}

func (r *rig) wantErr(err, want error) {
	r.t.Helper()
	if !errors.Is(err, want) {
		r.t.Errorf("error %v, want one that is %q", err, want)
	}
}

func TestAChangeIsStoredToldAndANewGeneration(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.must(r.start())
	r.stands("hours", true)
	x, err := r.turn("hours", "false", 0)
	r.must(err)
	if x.Version != 1 || !x.Set || x.ChangedBy != "amara@kappa4.com" || !x.ChangedAt.Equal(noon) || x.Default != session.BooleanValue(true) {
		t.Errorf("answered %+v", x)
	}
	r.stands("hours", false)
	if r.generation != 2 || !strings.HasPrefix(r.revision, "base+") || len(r.revision) != len("base+")+8 {
		t.Errorf("generation %d of revision %s", r.generation, r.revision)
	}
	want := map[string]string{"name": "hours", "before": "true", "value": "false", "version": "1"}
	if len(r.trail.events) != 1 || !reflect.DeepEqual(r.trail.events[0].Details, want) || r.trail.events[0].Action != session.ActionPolicySwitched ||
		r.trail.events[0].Actor.ID != "u1" || r.trail.events[0].RequestID != "req-1" {
		t.Errorf("the trail has %+v", r.trail.events)
	}
	_, err = r.turn("burst", "7", 0)
	r.must(err)
	r.stands("burst", json.Number("7"))
	r.stands("hours", false)
	other := r.revision
	_, err = r.turn("burst", "", 1)
	r.must(err)
	_, err = r.turn("hours", "", 1)
	r.must(err)
	if r.revision != "base" || r.generation != 5 || other == "base" {
		t.Errorf("set back, it is generation %d of revision %s", r.generation, r.revision)
	}
	if set(t)["neosc"] == nil || !reflect.DeepEqual(r.data, set(t)) {
		t.Error("the set's own data was changed")
	}
}

func TestWhatASwitchCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.must(r.start())
	for _, c := range []struct {
		name, value string
		version     uint64
		want        error
		says        string
	}{
		{"nothing", "true", 0, session.ErrNoSwitch, `"nothing"`},
		{"nothing", "", 0, session.ErrNoSwitch, `"nothing"`},
		{"hours", "1", 0, session.ErrBadSwitch, "true or false"},
		{"burst", "true", 0, session.ErrBadSwitch, "a number"},
		{"burst", "0", 0, session.ErrBadSwitch, "from 1 to 100"},
		{"burst", "101", 0, session.ErrBadSwitch, "from 1 to 100"},
		{"burst", "1.5", 0, session.ErrBadSwitch, "whole number"},
		{"burst", "5", 3, session.ErrSwitchChanged, "version 0"},
	} {
		_, err := r.turn(c.name, c.value, c.version)
		r.wantErr(err, c.want)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s to %q: %v does not say %q", c.name, c.value, err, c.says)
		}
	}
	if r.generation != 1 || len(r.trail.events) != 0 || len(r.store.all) != 0 {
		t.Error("something was changed")
	}
}

func TestWhatCannotBeToldOrCompiledIsTakenBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.must(r.start())
	r.trail.down = fmt.Errorf("disk full: %w", session.ErrUnavailable)
	_, err := r.turn("hours", "false", 0)
	r.wantErr(err, session.ErrUnavailable)
	r.stands("hours", true)
	r.trail.down = nil
	r.look(t.Context())
	r.stands("hours", true)
	if len(r.store.all) != 0 {
		t.Errorf("nothing was told, and %+v is stored, which other gates may hear of", r.store.all)
	}

	r.store.puts = fmt.Errorf("it is read-only: %w", session.ErrUnavailable)
	_, err = r.turn("hours", "false", 0)
	r.wantErr(err, session.ErrUnavailable)
	r.stands("hours", true)
	if n := len(r.trail.events); n != 2 || r.trail.events[1].Outcome != session.OutcomeDenied || !strings.HasPrefix(r.trail.events[1].Details["note"], "not set") {
		t.Errorf("the trail has %+v", r.trail.events)
	}
	r.store.puts = nil

	r.refuse = func(data map[string]any) error {
		if data["neosc"].(map[string]any)["switches"].(map[string]any)["burst"] == json.Number("13") {
			return errors.New("thirteen")
		}
		return nil
	}
	_, err = r.turn("burst", "13", 0)
	r.wantErr(err, session.ErrUnavailable)
	if err == nil || !strings.Contains(err.Error(), "thirteen") {
		t.Errorf("%v does not say why", err)
	}
	r.stands("burst", json.Number("20"))
	if n := len(r.trail.events); n != 4 || r.trail.events[3].Outcome != session.OutcomeDenied {
		t.Errorf("the trail has %+v", r.trail.events)
	}
	r.look(t.Context())
	all, err := r.Switches(t.Context())
	r.must(err)
	if all.Trouble != "" || all.Switches[0].Version != 2 {
		t.Errorf("afterwards there is %+v", all)
	}
	_, err = r.turn("burst", "12", 2)
	r.must(err)
	r.stands("burst", json.Number("12"))
}

func TestChangesElsewhereAreHeardOf(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.must(r.start())
	off := session.BooleanValue(false)
	r.must(r.store.PutSwitch(t.Context(), session.StoredSwitch{Name: "hours", Value: &off, Version: 1, ChangedAt: noon, ChangedBy: "other"}))
	r.look(t.Context())
	r.stands("hours", false)
	if r.generation != 2 {
		t.Errorf("generation %d", r.generation)
	}
	r.look(t.Context())
	if r.generation != 2 {
		t.Error("nothing has changed, and there is another generation")
	}
	// One that was not yet heard of is not written over.
	on := session.BooleanValue(true)
	r.must(r.store.PutSwitch(t.Context(), session.StoredSwitch{Name: "hours", Value: &on, Version: 2, ChangedAt: noon, ChangedBy: "other"}))
	_, err := r.turn("hours", "", 1)
	r.wantErr(err, session.ErrSwitchChanged)
	r.stands("hours", true)
}

func TestLastValuesHoldWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	away := fmt.Errorf("gone: %w", session.ErrUnavailable)
	r.store.away(away)
	if err := r.start(); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "copy") || r.Known() {
		t.Fatalf("a start that can know nothing: %v, known: %v", err, r.Known())
	}
	r.store.away(nil)
	r.look(t.Context())
	if !r.Known() {
		t.Error("the store is back, and nothing is known")
	}
	r.must(r.start())
	_, err := r.turn("hours", "false", 0)
	r.must(err)
	r.store.away(away)
	r.look(t.Context())
	r.stands("hours", false)
	all, err := r.Switches(t.Context())
	r.must(err)
	if r.Trouble() == nil || all.Trouble == "" || all.Switches[1].Value != session.BooleanValue(false) {
		t.Errorf("while it is away: %+v", all)
	}
	_, err = r.turn("hours", "true", 1)
	r.wantErr(err, session.ErrUnavailable)
	r.must(r.start()) // by the copy
	r.stands("hours", false)
	if r.Trouble() == nil {
		t.Error("started by the copy, it has no trouble")
	}
	info, err := os.Stat(r.copy)
	r.must(err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the copy has mode %v", info.Mode())
	}
	r.store.away(nil)
	r.look(t.Context())
	if r.Trouble() != nil {
		t.Error("it is back, and trouble goes on")
	}
}

func TestASetThatForgetsASwitchIgnoresItsValue(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.must(r.start())
	_, err := r.turn("burst", "50", 0)
	r.must(err)
	_, err = r.turn("hours", "false", 0)
	r.must(err)

	r.data = set(t, `"hours": true, `, ``, `"hours": {"type": "boolean", "title": "Hours"},`, ``, `"max": 100`, `"max": 40`)
	r.must(r.activate())
	r.stands("burst", json.Number("20"))
	all, err := r.Switches(t.Context())
	r.must(err)
	if len(all.Switches) != 1 || len(all.Ignored) != 2 || !strings.Contains(all.Ignored[0].Why, "from 1 to 40") || !strings.Contains(all.Ignored[1].Why, "declares no such") {
		t.Errorf("there is %+v", all)
	}
	_, err = r.turn("hours", "true", 1)
	r.wantErr(err, session.ErrNoSwitch)
	x, err := r.turn("hours", "", 1)
	r.must(err)
	if x.Name != "hours" || x.Type != session.SwitchBoolean || x.Version != 2 || x.Set {
		t.Errorf("answered %+v", x)
	}
	if all, _ = r.Switches(t.Context()); len(all.Ignored) != 1 {
		t.Errorf("still ignored: %+v", all.Ignored)
	}
	// It comes back at its default, and its version goes on.
	r.data = set(t)
	r.must(r.activate())
	r.stands("hours", true)
	r.stands("burst", json.Number("50"))
	_, err = r.turn("hours", "false", 2)
	r.must(err)
}
