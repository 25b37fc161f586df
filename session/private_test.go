package session

import (
	"fmt"
	"io/fs"
	"syscall"
	"testing"
	"time"
)

// file is what stat says of a key file.
type file struct {
	mode fs.FileMode
	uid  uint32
}

func (f file) Name() string       { return "keys" }
func (f file) Size() int64        { return 1 }
func (f file) Mode() fs.FileMode  { return f.mode }
func (f file) ModTime() time.Time { return time.Time{} }
func (f file) IsDir() bool        { return false }
func (f file) Sys() any           { return &syscall.Stat_t{Uid: f.uid} }

func TestKeysAreReadOnlyWhereOthersCannot(t *testing.T) {
	for _, c := range []struct {
		file file
		euid int
		want bool
	}{
		{file{0o600, 1000}, 1000, true},
		{file{0o400, 0}, 0, true},
		{file{0o440, 0}, 65532, true}, // a mounted secret
		{file{0o040, 0}, 65532, true},
		{file{0o440, 0}, 0, false},        // root needs no group
		{file{0o440, 1000}, 1000, false},  // one's own: chmod it
		{file{0o460, 0}, 65532, false},    // the group may write
		{file{0o640, 0}, 65532, false},    // not a mount: root may write
		{file{0o444, 0}, 65532, false},    // everybody may read
		{file{0o644, 1000}, 65532, false}, //
	} {
		t.Run(fmt.Sprintf("%v of %d for %d", c.file.mode, c.file.uid, c.euid), func(t *testing.T) {
			if got := private(c.file, c.euid); got != c.want {
				t.Errorf("private is %v", got)
			}
		})
	}
}
