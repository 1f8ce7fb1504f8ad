package introduction

import (
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/kem"
	"github.com/backchannel/backchannel/protocol/secret"
)

// OpenWith opens a reply for a share as a thief would who has one of the
// accepter's two private keys, and guesses the other.
func OpenWith(reply []byte, x []byte, seed *[kem.SeedSize]byte) (identity.Invitation, error) {
	return half{x: x, seed: seed}.openInvitation(reply[headerSize:])
}

// Private returns both private keys of an accepter that waits.
func Private(p *Party) (x []byte, seed *[kem.SeedSize]byte) {
	h := newHalf(p.coins, p.id)
	return h.x, h.seed
}

// Coins returns what an accepter that waits has drawn.
func Coins(p *Party) secret.Key { return p.coins }

// SealPlain seals anything in the place of an invitation, for the share in a message.
func SealPlain(share, plain []byte) ([]byte, error) {
	reply, err := sealPlain(share[headerSize:], plain, plain, secret.New(&[32]byte{1}))
	return append(message(messageReply, ID(share[2:headerSize])), reply...), err
}
