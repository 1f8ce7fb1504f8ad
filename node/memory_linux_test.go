package node_test

import (
	"fmt"
	"os"
	"syscall"
)

func init() {
	starve = func() {
		limitMemory()
		type link struct {
			before *link
			_      [64 << 10]byte
		}
		for all := new(link); ; {
			all = &link{before: all}
		}
	}
}

// limitMemory allows the process no more address space than it has, as ulimit -v
// does.
func limitMemory() {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		panic(err)
	}
	var pages uint64
	if _, err := fmt.Sscan(string(statm), &pages); err != nil {
		panic(err)
	}
	now := pages * uint64(os.Getpagesize())
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: now, Max: now}); err != nil {
		panic(err)
	}
}
