package backup

import "github.com/backchannel/backchannel/protocol/secret"

// Root and OpenBlocks are the two halves of Open.
func (s Secrets) Root(salt []byte) (secret.Key, error) { return s.root(salt) }

var OpenBlocks = openBlocks
