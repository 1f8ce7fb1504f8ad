// Package directory is how everybody comes to hold the same list of relays without
// an authority that says so (docs/spec/directory.md, docs/spec/network.md).
//
//	network      constants and founders; never changes; its hash names it
//	voucher      k of the founders on one relay: its key, its operator, its place
//	file         a network and its vouchers, which an intermediary hands over
//	descriptor   a relay on itself: addresses, onion keys of three epochs
//	proof        two descriptors that contradict one another: the relay is dropped
//	set          all of these that count now; the same whatever the order of arrival
//	view         the relays of one epoch, with a hash that two parties compare
//	way          relays drawn from a view, uniformly
//
// Founders and relays sign. They are public, and what they sign says nothing of
// those who talk. There is no clock here: time comes in.
package directory

import "errors"

// Errors.
var (
	// ErrFormat is returned for bytes that are not the one valid encoding.
	ErrFormat = errors.New("directory: malformed")
	// ErrSignature is returned for a signature that does not verify.
	ErrSignature = errors.New("directory: a signature does not verify")
	// ErrNetwork is returned for what belongs to another network.
	ErrNetwork = errors.New("directory: of another network")
	// ErrFounder is returned for a key that is none of the founders'.
	ErrFounder = errors.New("directory: not a founder's key")
	// ErrUnsigned is returned for what too few founders have signed.
	ErrUnsigned = errors.New("directory: too few founders have signed")
	// ErrProof is returned for two descriptors that do not contradict one another.
	ErrProof = errors.New("directory: no contradiction")
	// ErrFewRelays is returned for a view with too few relays or operators to hide in.
	ErrFewRelays = errors.New("directory: too few relays, or relays of too few operators")
	// ErrWithheld is returned for a view that lacks most of the relays that the
	// founders vouch for: somebody may be keeping them back.
	ErrWithheld = errors.New("directory: most of the relays that founders vouch for are missing")
	// ErrNoWay is returned where no way leads from one relay to the other.
	ErrNoWay = errors.New("directory: no way between these relays")
)

// Limits.
const (
	// MaxRelays is the most relays of a network.
	MaxRelays = 256
	// MaxFounders is the most founders of a network.
	MaxFounders = 16
	// MaxPlaces is the most places of a relay.
	MaxPlaces = 4
	// MaxName is the longest name of a network, a founder or an operator in bytes.
	MaxName = 32
	// Sequences is how many descriptors a relay may make in one epoch. Another one
	// is needed only after a restart.
	Sequences = 6
	// KeyEpochs is for how many epochs a descriptor carries keys, and so the longest
	// that it counts.
	KeyEpochs = 3

	version      = 1
	identitySize = 32 // Ed25519
	signSize     = 64
)
