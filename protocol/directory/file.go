package directory

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/pem"
	"slices"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/label"
)

// MaxFile is the longest encoding of a file in bytes.
const MaxFile = 1<<10 + 1<<9 + MaxFounders*(1+signSize) + MaxRelays*(2+MaxVoucher)

const textType = "BACKCHANNEL NETWORK"

// A File is what an intermediary hands over to those who join a network. It may be a
// draft, on its way from founder to founder; Verify says whether it is finished.
type File struct {
	Network *Network

	consents signatures
	vouchers []*Voucher // by rising relay
}

// NewFile returns a file without signatures and relays.
func NewFile(n *Network) *File { return &File{Network: n} }

func (f *File) said() []byte {
	return label.AppendFramed(nil, []byte(label.DirectoryConsent), f.Network.root[:])
}

// Vouchers returns what the file says of relays, in the order of their keys.
func (f *File) Vouchers() []*Voucher { return slices.Clone(f.vouchers) }

// Consents returns the names of the founders who have signed the network.
func (f *File) Consents() []string { return f.consents.names(f.Network) }

// Items returns the vouchers of the file, for a set.
func (f *File) Items() []Item {
	var out []Item
	for _, v := range f.vouchers {
		out = append(out, Item{VoucherItem, v.Append(nil, f.Network)})
	}
	return out
}

// A Count is what a file amounts to in an epoch.
type Count struct {
	Relays    int // that enough founders vouch for, now or from a later epoch on
	Operators int // of these relays
	Unsigned  int // relays that too few founders have signed for
	Ended     int // relays that were revoked, or whose voucher has expired
}

// FewOperators reports whether they are fewer than [ManyOperators].
func (c Count) FewOperators() bool { return c.Operators < ManyOperators }

// Count counts the relays of the file.
func (f *File) Count(e Epoch) Count {
	var c Count
	operators := map[string]bool{}
	for _, v := range f.vouchers {
		switch {
		case !v.Complete(f.Network):
			c.Unsigned++
		case v.Revoked || v.Until <= e:
			c.Ended++
		default:
			c.Relays++
			operators[v.Operator] = true
		}
	}
	c.Operators = len(operators)
	return c
}

// Crowded returns the relays that views leave out, as many of their operator or of their
// address block were admitted before them as the network's constants allow. It goes by the
// addresses of vouchers; a relay may tell others later.
func (f *File) Crowded(e Epoch) (out []Identity) {
	all := slices.DeleteFunc(slices.Clone(f.vouchers), func(v *Voucher) bool { return v.Revoked || v.Until <= e })
	slices.SortFunc(all, func(a, b *Voucher) int {
		return cmp.Or(cmp.Compare(a.From, b.From), compareIDs(a.Relay.ID(), b.Relay.ID()))
	})
	l := newLimits(f.Network.Constants)
	for _, v := range all {
		if !l.take(v.Operator, []identity.Place{v.Place}) {
			out = append(out, v.Relay)
		}
	}
	return out
}

// Put adds a voucher, signed or not. It takes the place of one with a lower serial,
// and its signatures join those of the same voucher. Put reports whether the file has
// changed; a full file and a voucher that is older do not change it.
func (f *File) Put(v *Voucher) bool {
	at, found := slices.BinarySearchFunc(f.vouchers, v.Relay, func(w *Voucher, r Identity) int {
		return bytes.Compare(w.Relay[:], r[:])
	})
	switch {
	case !found && len(f.vouchers) == MaxRelays:
		return false
	case !found:
		f.vouchers = slices.Insert(f.vouchers, at, v)
		return true
	case bytes.Equal(v.statement(f.Network), f.vouchers[at].statement(f.Network)):
		before := len(f.vouchers[at].signed)
		f.vouchers[at] = f.vouchers[at].merge(v)
		return len(f.vouchers[at].signed) > before
	case v.over(f.vouchers[at], f.Network):
		f.vouchers[at] = v
		return true
	}
	return false
}

// Sign puts a founder's signature to the network and to every voucher in the file.
// Who signs has looked at all of them.
func (f *File) Sign(key ed25519.PrivateKey) error {
	consents, err := f.consents.sign(f.Network, key, f.said())
	if err != nil {
		return err
	}
	vouchers := make([]*Voucher, len(f.vouchers))
	for i, v := range f.vouchers {
		if vouchers[i], err = v.Sign(f.Network, key); err != nil {
			return err
		}
	}
	f.consents, f.vouchers = consents, vouchers
	return nil
}

// Verify returns [ErrUnsigned] unless k founders have signed the network and each
// voucher.
func (f *File) Verify() error {
	if len(f.consents) < f.Network.Threshold {
		return ErrUnsigned
	}
	for _, v := range f.vouchers {
		if !v.Complete(f.Network) {
			return ErrUnsigned
		}
	}
	return nil
}

// Append appends the encoding of f.
func (f *File) Append(b []byte) []byte {
	b = f.Network.append(b)
	b = f.consents.append(b)
	b = binary.BigEndian.AppendUint16(b, uint16(len(f.vouchers)))
	for _, v := range f.vouchers {
		one := v.Append(nil, f.Network)
		b = binary.BigEndian.AppendUint16(b, uint16(len(one)))
		b = append(b, one...)
	}
	return b
}

// ParseFile parses what Append makes, and verifies every signature in it. How many
// there are, Verify says.
func ParseFile(b []byte) (*File, error) {
	f, err := decodeFile(b)
	if err != nil {
		return nil, err
	}
	if err := f.consents.check(f.Network, f.said()); err != nil {
		return nil, err
	}
	for _, v := range f.vouchers {
		if err := v.signed.check(f.Network, v.said(f.Network)); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func decodeFile(b []byte) (*File, error) {
	c := &cursor{b: b}
	f := NewFile(parseNetwork(c))
	f.consents = parseSignatures(c)
	n := int(c.u16())
	c.require(n <= MaxRelays)
	for i := 0; i < n && !c.bad; i++ {
		v, err := f.Network.decodeVoucher(c.take(int(c.u16())))
		if err != nil {
			return nil, ErrFormat
		}
		c.require(i == 0 || bytes.Compare(f.vouchers[i-1].Relay[:], v.Relay[:]) < 0)
		f.vouchers = append(f.vouchers, v)
	}
	return f, c.done()
}

// Text returns the file in the form that can be mailed or pasted.
func (f *File) Text() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: textType, Bytes: f.Append(nil)}))
}

// ParseFileText parses what Text makes. Line ends of any system and empty lines
// around it do not matter.
func ParseFileText(text []byte) (*File, error) {
	if len(text) > 2*MaxFile {
		return nil, ErrFormat
	}
	text = bytes.TrimSpace(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
	block, _ := pem.Decode(text)
	if block == nil || block.Type != textType || len(block.Headers) != 0 ||
		!bytes.Equal(bytes.TrimSpace(pem.EncodeToMemory(block)), text) {
		return nil, ErrFormat
	}
	return ParseFile(block.Bytes)
}
