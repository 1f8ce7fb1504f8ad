//go:build unix

package p2p

import "syscall"

// limitDescriptors allows this process 64 open files.
func limitDescriptors() error {
	limit := syscall.Rlimit{Cur: 64, Max: 64}
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}
