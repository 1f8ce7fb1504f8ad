package charter

import (
	"encoding/binary"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/backchannel/backchannel/protocol/label"
)

// Sizes in bytes.
const (
	DraftSize  = purposeAt + MaxPurpose
	MaxName    = 64
	MaxPurpose = 256
)

// MaxLife is how far ahead a deadline may be, in minutes: 366 days.
const MaxLife = 366 * 24 * 60

// MaxFiles is the largest file that a channel can take, in millions of bytes: more than a
// file can have.
const MaxFiles = 1<<16 - 1

// slack is how much further ahead than MaxLife a draft's deadline may be for who
// receives it: the two clocks differ.
const slack = 24 * 60

// Places in a draft.
const (
	nameAt    = 52
	purposeAt = nameAt + MaxName
)

const version = 1

// Kind says what may come of a channel.
type Kind byte

// The kinds.
const (
	Secret      Kind = 1 + iota // neither side may publish; this never changes
	Publishable                 // a communiqué may come of it, if both sign
)

// String returns "secret" or "publishable".
func (k Kind) String() string {
	switch k {
	case Secret:
		return "secret"
	case Publishable:
		return "publishable"
	}
	return "no kind"
}

// Route is the least hidden way that a channel's messages may take. A node may
// always take a more hidden one.
type Route byte

// The routes, from the most hidden on.
const (
	RouteRelays Route = 1 + iota // three relays: none knows both addresses
	RouteOne                     // one relay, which sees both addresses and no text
	RouteDirect                  // each side sees the other's address
)

// String returns "relays", "one relay" or "direct".
func (r Route) String() string {
	switch r {
	case RouteRelays:
		return "relays"
	case RouteOne:
		return "one relay"
	case RouteDirect:
		return "direct"
	}
	return "no route"
}

// Receipts says whether it is told that a message has arrived.
type Receipts byte

// The choices.
const (
	ReceiptsLate Receipts = 1 + iota // late, and several together
	ReceiptsNone
)

// String returns "late" or "none".
func (r Receipts) String() string {
	switch r {
	case ReceiptsLate:
		return "late"
	case ReceiptsNone:
		return "none"
	}
	return "no choice"
}

// Terms are what two sides agree on. All of it is seen by both.
type Terms struct {
	Name     string // of the channel; 1 to MaxName bytes of plain text in one line
	Purpose  string // 1 to MaxPurpose bytes, likewise
	Kind     Kind
	Route    Route
	Receipts Receipts
	Files    uint16 // largest file, in millions of bytes; 0: no files
	Deadline uint32 // minutes since 1970, UTC; from then on there is no channel
}

func (t Terms) check() error {
	if !plain(t.Name, MaxName) || !plain(t.Purpose, MaxPurpose) ||
		t.Kind < Secret || t.Kind > Publishable || t.Route < RouteRelays || t.Route > RouteDirect ||
		t.Receipts < ReceiptsLate || t.Receipts > ReceiptsNone || t.Deadline == 0 {
		return ErrTerms
	}
	return nil
}

// plain reports whether s is one line of text that a screen shows as it stands.
// Format characters are refused because they can turn text around.
func plain(s string, most int) bool {
	if s == "" || len(s) > most || !utf8.ValidString(s) || strings.TrimSpace(s) != s {
		return false
	}
	for _, r := range s {
		if r != ' ' && !unicode.IsGraphic(r) {
			return false
		}
	}
	return true
}

// A Digest names one text: both sides accept the same one or none.
type Digest [32]byte

// A Draft is one text that is proposed: the terms, and where it stands in the
// channel's history.
type Draft struct {
	Terms
	Channel    uint32 // number of the channel
	Number     uint16 // of the draft, from 1
	Extensions uint8  // how often the deadline was moved on, this draft included
	Before     Digest // what it would replace; zero: the first agreement
}

// Digest names the draft.
func (d *Draft) Digest() Digest { return label.Hash(label.CharterText, d.Append(nil)) }

// Append appends the encoding of d, which has [DraftSize] bytes, to b.
func (d *Draft) Append(b []byte) []byte {
	b = append(b, version)
	b = binary.BigEndian.AppendUint32(b, d.Channel)
	b = binary.BigEndian.AppendUint16(b, d.Number)
	b = append(b, d.Extensions)
	b = append(b, d.Before[:]...)
	b = append(b, byte(d.Kind), byte(d.Route), byte(d.Receipts))
	b = binary.BigEndian.AppendUint16(b, d.Files)
	b = binary.BigEndian.AppendUint32(b, d.Deadline)
	b = append(b, byte(len(d.Name)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(d.Purpose)))
	b = append(b, d.Name...)
	b = append(b, make([]byte, MaxName-len(d.Name))...)
	b = append(b, d.Purpose...)
	return append(b, make([]byte, MaxPurpose-len(d.Purpose))...)
}

// ParseDraft parses the encoding that Append makes.
func ParseDraft(b []byte) (*Draft, error) {
	if len(b) != DraftSize || b[0] != version {
		return nil, ErrFormat
	}
	d := &Draft{
		Channel:    binary.BigEndian.Uint32(b[1:]),
		Number:     binary.BigEndian.Uint16(b[5:]),
		Extensions: b[7],
		Before:     Digest(b[8:40]),
	}
	d.Kind, d.Route, d.Receipts = Kind(b[40]), Route(b[41]), Receipts(b[42])
	d.Files, d.Deadline = binary.BigEndian.Uint16(b[43:]), binary.BigEndian.Uint32(b[45:])
	name, purpose := int(b[49]), int(binary.BigEndian.Uint16(b[50:]))
	if name > MaxName || purpose > MaxPurpose || d.Channel < 2 || d.Number == 0 {
		return nil, ErrFormat
	}
	d.Name, d.Purpose = string(b[nameAt:nameAt+name]), string(b[purposeAt:purposeAt+purpose])
	if !zero(b[nameAt+name:purposeAt]) || !zero(b[purposeAt+purpose:]) || d.check() != nil ||
		d.Before == (Digest{}) && d.Extensions != 0 {
		return nil, ErrFormat
	}
	return d, nil
}

func zero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// after makes the draft that would replace before, which is nil for a first
// agreement.
func (t Terms) after(before *Draft, channel uint32, number uint16) (*Draft, error) {
	d := &Draft{Terms: t, Channel: channel, Number: number}
	if before == nil {
		return d, nil
	}
	d.Before, d.Extensions = before.Digest(), before.Extensions
	if t.Kind == Publishable && before.Kind == Secret {
		return nil, ErrKind
	}
	if t.Deadline > before.Deadline {
		if d.Extensions++; d.Extensions == 0 {
			return nil, ErrTooMany
		}
	}
	return d, nil
}
