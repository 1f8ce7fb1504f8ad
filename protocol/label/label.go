// Package label holds every domain-separation label of the project and the one
// key-derivation function that uses them.
//
// A label reads backchannel/v1/<protocol>/<purpose>. No label is a prefix of
// another, and [Derive] frames each input with its length, so two derivations
// with different purposes or inputs never hash the same bytes.
package label

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"

	"github.com/backchannel/backchannel/protocol/secret"
)

// A Label separates one use of a key or a hash from all others.
type Label string

const prefix = "backchannel/v1/"

// The labels, in the order of the packages that use them.
const (
	KEMSeed Label = prefix + "kem/seed" // ML-KEM-768 seed from 32 stored bytes

	WireLink    Label = prefix + "wire/link"    // box key of one connection and direction
	WireNonce   Label = prefix + "wire/nonce"   // nonce of a box
	WireMessage Label = prefix + "wire/message" // message ID
	WireContact Label = prefix + "wire/contact" // box root for handshakes between known contacts

	InviteHostA    Label = prefix + "invite/host-inviter"  // libp2p host key of the inviter, first contact
	InviteHostB    Label = prefix + "invite/host-accepter" // libp2p host key of the accepter, first contact
	InviteNetwork  Label = prefix + "invite/network-key"   // libp2p private-network key, first contact
	InviteBox      Label = prefix + "invite/box-root"      // box root, first contact
	InvitePair     Label = prefix + "invite/pair-secret"   // c_0
	InviteChecksum Label = prefix + "invite/checksum"      // typing errors

	CardFingerprint Label = prefix + "card/fingerprint"

	WordsCommit Label = prefix + "words/commit"
	WordsA      Label = prefix + "words/inviter"
	WordsB      Label = prefix + "words/accepter"

	HandshakePSK0     Label = prefix + "handshake/psk0"
	HandshakePSK3     Label = prefix + "handshake/psk3"
	HandshakeStrict   Label = prefix + "handshake/strict"
	HandshakeCoins    Label = prefix + "handshake/coins"
	HandshakeRoot     Label = prefix + "handshake/session"
	HandshakeRoll     Label = prefix + "handshake/roll"
	HandshakeDial     Label = prefix + "handshake/dial"
	HandshakeRecover  Label = prefix + "handshake/recovery-secret"
	HandshakeKnock    Label = prefix + "handshake/knock"
	HandshakeSeen     Label = prefix + "handshake/seen"
	HandshakeRecPair  Label = prefix + "handshake/recovery-pair"
	HandshakeMonth    Label = prefix + "handshake/next-month"
	HandshakePrologue Label = prefix + "handshake/prologue"

	DialHostA   Label = prefix + "dial/host-inviter"
	DialHostB   Label = prefix + "dial/host-accepter"
	DialNetwork Label = prefix + "dial/network-key"

	RatchetStep  Label = prefix + "ratchet/step"
	RatchetChain Label = prefix + "ratchet/chain"
	RatchetNonce Label = prefix + "ratchet/header-nonce"
	RatchetBody  Label = prefix + "ratchet/body"
	RatchetCoins Label = prefix + "ratchet/coins"

	StoreCheck   Label = prefix + "store/check"
	StoreCounter Label = prefix + "store/counter"

	FileCell  Label = prefix + "file/cell-key" // key of a file's cells
	FileNonce Label = prefix + "file/nonce"    // nonce of a file's cell

	OnionRelay Label = prefix + "onion/relay-key" // a relay's keys of one epoch from its seed
	OnionCoins Label = prefix + "onion/coins"     // all that is drawn for one packet
	OnionHop   Label = prefix + "onion/hop"       // ephemeral key and coins for one hop
	OnionPad   Label = prefix + "onion/pad"       // random blocks in place of hops that there are not
	OnionSURB  Label = prefix + "onion/surb"      // key and tag of a reply
	OnionKeys  Label = prefix + "onion/keys"      // what a hop and the sender share
	OnionReply Label = prefix + "onion/reply"     // wide block of an answer

	CadenceDraw Label = prefix + "cadence/draw" // one number for a moment, a tie or an address

	DropChain    Label = prefix + "drop/chain"    // first day key of a contact's chain
	DropDay      Label = prefix + "drop/day"      // the next day key
	DropExport   Label = prefix + "drop/export"   // fresh entropy for a day key
	DropBranch   Label = prefix + "drop/branch"   // chain of a session that was rolled, and its name
	DropBox      Label = prefix + "drop/box"      // write key and box key
	DropAddress  Label = prefix + "drop/address"  // address of a write key
	DropReplicas Label = prefix + "drop/replicas" // which two drops of three
	DropNeutral  Label = prefix + "drop/neutral"  // which relay is the third drop of a pair
	DropMeeting  Label = prefix + "drop/meeting"  // root of an invitation's boxes for cards
	DropAnswer   Label = prefix + "drop/answer"   // root of the boxes after a card
	DropHour     Label = prefix + "drop/hour"     // hour key of either root
	DropRecovery Label = prefix + "drop/recovery" // day key of reunion boxes
	DropSession  Label = prefix + "drop/session"  // what a session seals its boxes with
	DropSeal     Label = prefix + "drop/seal"     // box key of a session's box
	DropIdle     Label = prefix + "drop/idle"     // key of the boxes that a lane writes to itself
	DropWork     Label = prefix + "drop/work"     // work for a put
	DropRecord   Label = prefix + "drop/record"   // name and key of a box on a drop's disk

	DirectoryNetwork    Label = prefix + "directory/network"    // root of a network
	DirectoryConsent    Label = prefix + "directory/consent"    // a founder on the network
	DirectoryVoucher    Label = prefix + "directory/voucher"    // founders on a relay
	DirectoryRelay      Label = prefix + "directory/relay-id"   // name of a relay from its key
	DirectoryDescriptor Label = prefix + "directory/descriptor" // a relay on itself
	DirectoryItem       Label = prefix + "directory/item"       // what is compared of a set
	DirectoryKey        Label = prefix + "directory/onion-key"  // an onion key in a membership
	DirectoryMembership Label = prefix + "directory/membership" // relays of an epoch
	DirectoryGraph      Label = prefix + "directory/graph"      // rank of a link

	VaultKEK    Label = prefix + "vault/kek"        // key of a level's header
	VaultSecond Label = prefix + "vault/second"     // second secret, mixed into a KEK
	VaultHeader Label = prefix + "vault/header"     // keys under a KEK
	VaultRoot   Label = prefix + "vault/root"       // root of a level
	VaultLevel  Label = prefix + "vault/level"      // keys under a root
	VaultObject Label = prefix + "vault/object-key" // key of one object's pages
	VaultNonce  Label = prefix + "vault/nonce"      // draw of a slot
	VaultDigest Label = prefix + "vault/digest"     // of the pages of a level
	VaultCoins  Label = prefix + "vault/coins"      // streams of a tick
	VaultChain  Label = prefix + "vault/chain"      // what was sealed so far
	VaultNone   Label = prefix + "vault/none"       // keys of slots that hold nothing
	VaultCount  Label = prefix + "vault/count"      // key of the counter outside the slots

	MandateScalar   Label = prefix + "mandate/scalar"        // private key from its seed
	MandateListener Label = prefix + "mandate/listener-seed" // a listener's seed for one authority
	MandateWords    Label = prefix + "mandate/words"         // of an authority's key
	MandatePair     Label = prefix + "mandate/pair-key"      // of an authority and one other
	MandateRequest  Label = prefix + "mandate/request"       // tag of an envoy's request
	MandateSerial   Label = prefix + "mandate/serial"        // number of a mandate
	MandateDossier  Label = prefix + "mandate/dossier"       // dossier as one listener sees it
	MandateMask     Label = prefix + "mandate/mask"          // hides the dossier from all others
	MandateTag      Label = prefix + "mandate/tag"           // tag of a mandate
	MandateRing     Label = prefix + "mandate/ring"          // challenge of a ring
	MandateNonce    Label = prefix + "mandate/nonce"         // nonce and false answer of a ring
	MandateWithdraw Label = prefix + "mandate/withdrawal"    // tag of a withdrawal

	SoundingBinding Label = prefix + "sounding/binding"    // what two contacts bind their soundings to
	SoundingID      Label = prefix + "sounding/id"         // name of one sounding
	SoundingCoins   Label = prefix + "sounding/coins"      // scalars, fillers and order of the entries
	SoundingPoint   Label = prefix + "sounding/generator"  // point of an entry
	SoundingPair    Label = prefix + "sounding/pair-key"   // key of two entries
	SoundingSent    Label = prefix + "sounding/transcript" // all that was sent before the first bit
	SoundingTag     Label = prefix + "sounding/tag"        // tag of two entries, as one side shows it
	SoundingNoise   Label = prefix + "sounding/noise-bits" // bits after a difference

	CommuniqueWords        Label = prefix + "communique/words"        // words of a publication key
	CommuniqueContribution Label = prefix + "communique/contribution" // to the 32 random bytes of a file
	CommuniqueCommit       Label = prefix + "communique/commit"       // commitment to it, to the key and the text
	CommuniqueAdaptor      Label = prefix + "communique/adaptor"      // secret of the adaptor point
	CommuniqueNonce        Label = prefix + "communique/nonce"        // nonce of a pre-signature

	CharterText Label = prefix + "charter/text" // name of one draft

	IntroductionShare Label = prefix + "introduction/share" // key share of who accepts, from its coins
	IntroductionReply Label = prefix + "introduction/reply" // key share and coins of who invites
	IntroductionKey   Label = prefix + "introduction/key"   // key that seals the invitation

	ShuttleCoins      Label = prefix + "shuttle/coins"      // key share, coins and nonce of one side
	ShuttleCommit     Label = prefix + "shuttle/commit"     // commitment to an offer
	ShuttleTranscript Label = prefix + "shuttle/transcript" // both shares and commitments
	ShuttleKey        Label = prefix + "shuttle/key"        // keys that seal the openings

	BackupSalt   Label = prefix + "backup/salt"    // salt of a file from coins and content
	BackupRoot   Label = prefix + "backup/root"    // root of a file from passphrase and second secret
	BackupHeader Label = prefix + "backup/header"  // mask of the header
	BackupCommit Label = prefix + "backup/commit"  // commitment to root and header
	BackupBlock  Label = prefix + "backup/content" // key of the blocks

	TranscriptKeys Label = prefix + "transcript/keys"
)

// All returns every label once; the tests prove them well-formed and distinct.
func All() []Label {
	return []Label{
		KEMSeed, WireLink, WireNonce, WireMessage, WireContact,
		InviteHostA, InviteHostB, InviteNetwork, InviteBox, InvitePair, InviteChecksum,
		CardFingerprint, WordsCommit, WordsA, WordsB,
		HandshakePSK0, HandshakePSK3, HandshakeStrict, HandshakeCoins, HandshakeRoot, HandshakeRoll,
		HandshakeDial, HandshakeRecover, HandshakeKnock, HandshakeSeen, HandshakeRecPair, HandshakeMonth, HandshakePrologue,
		DialHostA, DialHostB, DialNetwork,
		RatchetStep, RatchetChain, RatchetNonce, RatchetBody, RatchetCoins,
		StoreCheck, StoreCounter,
		FileCell, FileNonce,
		OnionRelay, OnionCoins, OnionHop, OnionPad, OnionSURB, OnionKeys, OnionReply,
		CadenceDraw,
		DropChain, DropDay, DropExport, DropBranch, DropBox, DropAddress, DropReplicas, DropNeutral,
		DropMeeting, DropAnswer, DropHour, DropRecovery, DropSession, DropSeal, DropIdle, DropWork, DropRecord,
		DirectoryNetwork, DirectoryConsent, DirectoryVoucher, DirectoryRelay, DirectoryDescriptor,
		DirectoryItem, DirectoryKey, DirectoryMembership, DirectoryGraph,
		VaultKEK, VaultSecond, VaultHeader, VaultRoot, VaultLevel, VaultObject, VaultNonce,
		VaultDigest, VaultCoins, VaultChain, VaultNone, VaultCount,
		MandateScalar, MandateListener, MandateWords, MandatePair, MandateRequest, MandateSerial,
		MandateDossier, MandateMask, MandateTag, MandateRing, MandateNonce, MandateWithdraw,
		SoundingBinding, SoundingID, SoundingCoins, SoundingPoint, SoundingPair, SoundingSent, SoundingTag, SoundingNoise,
		CommuniqueWords, CommuniqueContribution, CommuniqueCommit, CommuniqueAdaptor, CommuniqueNonce,
		CharterText, IntroductionShare, IntroductionReply, IntroductionKey,
		ShuttleCoins, ShuttleCommit, ShuttleTranscript, ShuttleKey,
		BackupSalt, BackupRoot, BackupHeader, BackupCommit, BackupBlock,
		TranscriptKeys,
	}
}

// AppendFramed appends each part to b, preceded by its length as four bytes, big
// endian, so that the parts cannot be shifted against one another.
func AppendFramed(b []byte, parts ...[]byte) []byte {
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	return b
}

// Derive is HKDF-SHA256 (RFC 5869) of ikm with the given salt; its info is the
// label and every context part, each framed with its length. It returns n bytes,
// at most 8160.
func Derive(l Label, ikm, salt []byte, n int, context ...[]byte) []byte {
	info := AppendFramed(nil, []byte(l))
	info = AppendFramed(info, context...)
	out, err := hkdf.Key(sha256.New, ikm, salt, string(info), n)
	if err != nil {
		panic("label: deriving more than HKDF can give")
	}
	return out
}

// DeriveKey derives one 32-byte key from another: [Derive] without salt.
func DeriveKey(l Label, from secret.Key, context ...[]byte) secret.Key {
	out := Derive(l, from.Bytes(), nil, secret.Size, context...)
	defer clear(out)
	return secret.FromBytes(out)
}

// Hash is SHA-256 of the label and the parts, each framed with its length.
func Hash(l Label, parts ...[]byte) [sha256.Size]byte {
	b := AppendFramed(nil, []byte(l))
	return sha256.Sum256(AppendFramed(b, parts...))
}

// Hash512 is SHA-512 of the label and the parts, each framed with its length: as
// many bytes as a scalar or a point of ristretto255 is drawn from.
func Hash512(l Label, parts ...[]byte) [sha512.Size]byte {
	b := AppendFramed(nil, []byte(l))
	return sha512.Sum512(AppendFramed(b, parts...))
}

// MAC is HMAC-SHA256 under key of the label and the parts, each framed with its
// length.
func MAC(l Label, key []byte, parts ...[]byte) [sha256.Size]byte {
	h := hmac.New(sha256.New, key)
	write := func(p []byte) {
		var size [4]byte
		binary.BigEndian.PutUint32(size[:], uint32(len(p)))
		h.Write(size[:])
		h.Write(p)
	}
	write([]byte(l))
	for _, p := range parts {
		write(p)
	}
	return [sha256.Size]byte(h.Sum(nil))
}
