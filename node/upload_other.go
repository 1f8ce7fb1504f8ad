//go:build !unix

package node

import "os"

// readAtOnce opens to read.
const readAtOnce = os.O_RDONLY
