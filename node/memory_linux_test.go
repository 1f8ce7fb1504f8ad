package node_test

import (
	"fmt"
	"os"
	"syscall"
)

func init() {
	limitMemory = limitAddressSpace
	starve = func() {
		limitAddressSpace(0)
		type link struct {
			before *link
			_      [64 << 10]byte
		}
		for all := new(link); ; {
			all = &link{before: all}
		}
	}
}

// limitAddressSpace does what ulimit -v does.
func limitAddressSpace(more int) {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		panic(err)
	}
	var pages uint64
	if _, err := fmt.Sscan(string(statm), &pages); err != nil {
		panic(err)
	}
	limit := pages*uint64(os.Getpagesize()) + uint64(more)
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
		panic(err)
	}
}
