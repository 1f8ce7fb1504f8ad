//go:build unix

package node

import (
	"os"
	"syscall"
)

// readAtOnce opens to read without waiting for the other end of a pipe.
const readAtOnce = os.O_RDONLY | syscall.O_NONBLOCK
