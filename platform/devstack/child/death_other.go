//go:build !linux

package child

import "syscall"

// Only Linux can tie a child's life to ours.
func signalAtOurDeath(*syscall.SysProcAttr, syscall.Signal) {}
