//go:build unix && !linux

package dev

import "syscall"

// childAttr makes the child lead its own process group. Only Linux can bind
// its life to ours.
func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
