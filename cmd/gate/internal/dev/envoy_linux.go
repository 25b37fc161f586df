package dev

import "syscall"

// childAttr makes the child lead its own process group and die with us even
// when we are killed without a chance to clean up.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
