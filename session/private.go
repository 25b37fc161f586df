package session

import (
	"io/fs"
	"os"
	"syscall"
)

// Private reports whether a file of keys is out of the reach of others: no mode
// bits but its owner's. One exception are secrets as orchestrators mount them
// (Kubernetes: volumes with fsGroup): a file of root's that nobody may write
// and the group may read, which is how a process that is not root gets it.
func Private(st fs.FileInfo) bool { return private(st, os.Geteuid()) }

func private(st fs.FileInfo, euid int) bool {
	mode := st.Mode().Perm()
	if mode&0o077 == 0 {
		return true
	}
	owner, ok := st.Sys().(*syscall.Stat_t)
	return ok && owner.Uid == 0 && euid != 0 && mode&^0o440 == 0
}
