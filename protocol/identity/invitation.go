package identity

import (
	"bytes"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

const (
	invitationPrefix  = "BC1:"
	invitationVersion = 1
	secretSize        = 16
	checksumSize      = 4
	// fixedSize is all of an invitation but its place.
	fixedSize = 1 + 1 + secretSize + 8 + 4 + checksumSize
	// MaxInvitation is the longest invitation in characters: it fits a QR code
	// and can be dictated.
	MaxInvitation = len(invitationPrefix) + ((fixedSize+MaxPlace)*8+4)/5
)

// Errors of ParseInvitation. None of them spends the invitation.
var (
	ErrNotInvitation   = errors.New("this is not an invitation, which begins with BC1: and goes on in letters and digits")
	ErrTruncated       = errors.New("the invitation is not complete")
	ErrMistyped        = errors.New("the invitation has a typing error: its checksum does not fit")
	ErrNewerInvitation = errors.New("the invitation was made by a newer version of this program")
)

// An Invitation lets exactly one machine become a contact. It carries a secret
// and a place, and no key: whoever copies it can come first, which the words
// comparison shows, but cannot compute what the two sides agree on afterwards.
//
//	0   1  version, 1
//	1   1  flags: 1 = strict
//	2  16  one-time secret
//	18  8  network ID
//	26  <38 place
//	    4  expiry, minutes since 1970
//	    4  checksum
//
// Text form: "BC1:" and base32 (RFC 4648, no padding).
type Invitation struct {
	Strict  bool
	Secret  [secretSize]byte
	Network NetworkID
	Place   Place
	Expiry  time.Time // whole minutes
}

// NewInvitation draws the secret of an invitation that ends at expiry, rounded
// down to a minute.
func NewInvitation(random io.Reader, place Place, expiry time.Time, strict bool) (Invitation, error) {
	inv := Invitation{Strict: strict, Place: place, Expiry: expiry.UTC().Truncate(time.Minute)}
	if _, err := io.ReadFull(random, inv.Secret[:]); err != nil {
		return Invitation{}, fmt.Errorf("drawing an invitation: %w", err)
	}
	return inv, nil
}

// Append appends the binary encoding of inv, checksum included.
func (inv Invitation) Append(b []byte) []byte {
	start := len(b)
	b = append(b, invitationVersion, flagsOf(inv.Strict))
	b = append(b, inv.Secret[:]...)
	b = append(b, inv.Network[:]...)
	b = inv.Place.Append(b)
	b = binary.BigEndian.AppendUint32(b, uint32(inv.Expiry.Unix()/60))
	sum := label.Hash(label.InviteChecksum, b[start:])
	return append(b, sum[:checksumSize]...)
}

var invitationEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// Text returns the line to hand over. It is a secret until it has been used, so
// Invitation has no String method: fmt would print it.
func (inv Invitation) Text() string {
	return invitationPrefix + invitationEncoding.EncodeToString(inv.Append(nil))
}

// Format keeps an invitation out of logs: every verb prints a fixed word.
func (Invitation) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[invitation]") }

// ParseInvitation reads a line as a person pasted or typed it: letter case,
// blanks, line breaks and hyphens do not matter. It does not judge the expiry.
func ParseInvitation(text string) (Invitation, error) {
	text = strings.ToUpper(strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\r\n-", r) {
			return -1
		}
		return r
	}, text))
	body, ok := strings.CutPrefix(text, invitationPrefix)
	if !ok {
		return Invitation{}, ErrNotInvitation
	}
	if len(text) > MaxInvitation {
		return Invitation{}, ErrMistyped
	}
	raw, err := invitationEncoding.DecodeString(body)
	if err != nil || invitationEncoding.EncodeToString(raw) != body {
		if !strings.ContainsFunc(body, notBase32) {
			return Invitation{}, ErrTruncated
		}
		return Invitation{}, ErrMistyped
	}
	return ParseBinary(raw)
}

func notBase32(r rune) bool { return (r < 'A' || r > 'Z') && (r < '2' || r > '7') }

// ParseBinary parses the encoding that Append makes.
func ParseBinary(raw []byte) (Invitation, error) {
	if len(raw) < fixedSize {
		return Invitation{}, ErrTruncated
	}
	body := raw[:len(raw)-checksumSize]
	sum := label.Hash(label.InviteChecksum, body)
	if !bytes.Equal(sum[:checksumSize], raw[len(body):]) {
		return Invitation{}, checksumError(raw)
	}
	if raw[0] != invitationVersion || raw[1]&^flagStrict != 0 {
		return Invitation{}, ErrNewerInvitation
	}
	inv := Invitation{
		Strict:  raw[1]&flagStrict != 0,
		Secret:  [secretSize]byte(raw[2:18]),
		Network: NetworkID(raw[18:26]),
	}
	place, rest, err := ParsePlace(body[26:])
	if err != nil || len(rest) != 4 {
		return Invitation{}, ErrMistyped
	}
	inv.Place = place
	inv.Expiry = time.Unix(int64(binary.BigEndian.Uint32(rest))*60, 0).UTC()
	return inv, nil
}

// checksumError tells a line that was cut from one that was mistyped: the place
// says how long the whole must be.
func checksumError(raw []byte) error {
	if raw[0] != invitationVersion {
		return ErrMistyped
	}
	_, rest, err := ParsePlace(raw[26:])
	if err != nil && PlaceKind(raw[26]) <= PlaceDrop || err == nil && len(rest) < 4+checksumSize {
		return ErrTruncated
	}
	return ErrMistyped
}

// Pair derives c_0, the first pair secret, from the invitation's secret and both
// statics.
func (inv Invitation) Pair(inviter, accepter [32]byte) secret.Key {
	return inv.derive(label.InvitePair, inviter[:], accepter[:])
}

// Link derives what the first connection needs. All of the invitation is mixed
// in, so that an altered flag or place leads nowhere.
func (inv Invitation) Link() Link {
	return Link{
		Network:      inv.derive(label.InviteNetwork),
		HostInviter:  inv.derive(label.InviteHostA),
		HostAccepter: inv.derive(label.InviteHostB),
		Box:          inv.derive(label.InviteBox),
	}
}

func (inv Invitation) derive(l label.Label, context ...[]byte) secret.Key {
	out := label.Derive(l, inv.Secret[:], inv.Append(nil), secret.Size, context...)
	defer clear(out)
	return secret.FromBytes(out)
}
