package directory

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/onion"
)

const (
	// MaxMessage is the longest message of items in bytes. All that a set can hold of
	// one relay fits.
	MaxMessage = 128 << 10
	// MaxSummary is the longest summary in bytes.
	MaxSummary = 1 + 32 + 2 + MaxRelays*summaryEntry

	digestSize   = 12
	summaryEntry = onion.IDSize + digestSize
)

// A Kind says what an item is.
type Kind byte

// The kinds of item.
const (
	VoucherItem    Kind = 1
	DescriptorItem Kind = 2
	ProofItem      Kind = 3
)

// String returns the name of the kind.
func (k Kind) String() string {
	switch k {
	case VoucherItem:
		return "voucher"
	case DescriptorItem:
		return "descriptor"
	case ProofItem:
		return "proof"
	}
	return "unknown"
}

// An Item is an encoded voucher, descriptor or proof.
type Item struct {
	Kind  Kind
	Bytes []byte
}

// AppendItem appends an item to a message. An empty message is a new one.
func AppendItem(b []byte, i Item) []byte {
	if len(b) == 0 {
		b = append(b, version)
	}
	b = append(b, byte(i.Kind))
	b = binary.BigEndian.AppendUint16(b, uint16(len(i.Bytes)))
	return append(b, i.Bytes...)
}

// ParseItems takes a message apart. It looks at no item's inside.
func ParseItems(b []byte) ([]Item, error) {
	if len(b) > MaxMessage {
		return nil, ErrFormat
	}
	c := &cursor{b: b}
	c.expect(version)
	var items []Item
	for len(c.b) > 0 && !c.bad {
		k := Kind(c.u8())
		c.require(k >= VoucherItem && k <= ProofItem)
		size := int(c.u16())
		c.require(size > 0)
		items = append(items, Item{k, c.take(size)})
	}
	return items, c.done()
}

// Add adds one item.
func (s *Set) Add(i Item, now time.Time) Verdict {
	switch i.Kind {
	case VoucherItem:
		return s.AddVoucher(i.Bytes, now)
	case DescriptorItem:
		return s.AddDescriptor(i.Bytes, now)
	case ProofItem:
		return s.AddProof(i.Bytes, now)
	}
	return Invalid
}

// Merge adds every item of a message. A malformed message changes nothing.
func (s *Set) Merge(message []byte, now time.Time) (Tally, error) {
	var t Tally
	items, err := ParseItems(message)
	for _, i := range items {
		if err == nil {
			t[s.Add(i, now)]++
		}
	}
	return t, err
}

// items returns all that is held of a relay, the voucher first.
func (r *relay) items(n *Network) []Item {
	out := []Item{{VoucherItem, r.voucher.Append(nil, n)}}
	if r.proof != nil {
		return append(out, Item{ProofItem, r.proof.Append(nil)})
	}
	marks := slices.SortedFunc(maps.Keys(r.held), func(a, b mark) int {
		if a.before(b) {
			return 1 // the newest first
		}
		return -1
	})
	for _, m := range marks {
		out = append(out, Item{DescriptorItem, r.held[m].b})
	}
	return out
}

// digest is a short hash of what a relay's items say. Signatures are not in it: of one
// text there may be several. Nor is which proof is held.
func (r *relay) digest(n *Network) (d [digestSize]byte) {
	parts := [][]byte{r.voucher.statement(n)}
	for _, i := range r.items(n)[1:] {
		if i.Kind == ProofItem {
			parts = append(parts, []byte("proof"))
			continue
		}
		parts = append(parts, i.Bytes[:len(i.Bytes)-signSize])
	}
	sum := label.Hash(label.DirectoryItem, parts...)
	copy(d[:], sum[:])
	return d
}

// named returns the relays by rising ID.
func (s *Set) named() ([]onion.ID, map[onion.ID]*relay) {
	byID := make(map[onion.ID]*relay, len(s.relays))
	for id, r := range s.relays {
		byID[id.ID()] = r
	}
	return slices.SortedFunc(maps.Keys(byID), compareIDs), byID
}

func compareIDs(a, b onion.ID) int { return bytes.Compare(a[:], b[:]) }

// Summary returns what the set holds in short, to be compared by somebody else's.
func (s *Set) Summary(now time.Time) []byte {
	s.prune(now)
	ids, relays := s.named()
	b := append([]byte{version}, s.n.root[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(ids)))
	for _, id := range ids {
		d := relays[id].digest(s.n)
		b = append(b, id[:]...)
		b = append(b, d[:]...)
	}
	return b
}

func (n *Network) parseSummary(b []byte) (map[onion.ID][digestSize]byte, error) {
	c := &cursor{b: b}
	c.expect(version)
	root := c.key()
	count := int(c.u16())
	c.require(count <= MaxRelays)
	out := make(map[onion.ID][digestSize]byte)
	var last onion.ID
	for i := 0; i < count && !c.bad; i++ {
		id := onion.ID(c.take(onion.IDSize))
		c.require(compareIDs(last, id) < 0)
		out[id], last = [digestSize]byte(c.take(digestSize)), id
	}
	if err := c.done(); err != nil {
		return nil, err
	}
	if root != n.root {
		return nil, ErrNetwork
	}
	return out, nil
}

// Answer returns a message of what is held of the relays on which a summary differs,
// and whether it is all of that. It goes around the relays from the one that is named
// or follows on that name: who asks draws it at random, so that nothing that cannot be
// settled stands before the rest for ever.
func (s *Set) Answer(summary []byte, from onion.ID, now time.Time) (message []byte, all bool, err error) {
	s.prune(now)
	theirs, err := s.n.parseSummary(summary)
	if err != nil {
		return nil, false, err
	}
	ids, relays := s.named()
	at, _ := slices.BinarySearchFunc(ids, from, compareIDs)
	message = []byte{version}
	for _, id := range slices.Concat(ids[at:], ids[:at]) {
		if d, ok := theirs[id]; ok && d == relays[id].digest(s.n) {
			continue
		}
		longer := message
		for _, i := range relays[id].items(s.n) {
			longer = AppendItem(longer, i)
		}
		if len(longer) > MaxMessage {
			return message, false, nil
		}
		message = longer
	}
	return message, true, nil
}
