package directory

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"slices"

	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/onion"
)

// An Identity is a relay's Ed25519 key, for all its life.
type Identity [identitySize]byte

// ID is the relay's name in packets: the first 20 bytes of a hash of its key.
func (i Identity) ID() onion.ID {
	h := label.Hash(label.DirectoryRelay, i[:])
	return onion.ID(h[:onion.IDSize])
}

// MaxVoucher is the longest encoding of a voucher in bytes.
const MaxVoucher = 1 + 32 + identitySize + 4 + 1 + 4 + 4 + 1 + MaxName + identity.MaxPlace + 1 + MaxFounders*(1+signSize)

// A Voucher is what founders say of one relay. The one with the highest serial
// counts; between two of one serial, one that revokes.
type Voucher struct {
	Relay    Identity
	Serial   uint32
	Revoked  bool
	From     Epoch // the first epoch in which the relay is known; it is used from the next one on
	Until    Epoch // the first epoch in which the voucher does not count any more
	Operator string
	Place    identity.Place // where the relay is reached at first

	signed signatures
}

// statement is all of a voucher but the signatures.
func (v *Voucher) statement(n *Network) []byte {
	b := append([]byte{version}, n.root[:]...)
	b = append(b, v.Relay[:]...)
	b = binary.BigEndian.AppendUint32(b, v.Serial)
	revoked := byte(0)
	if v.Revoked {
		revoked = 1
	}
	b = append(b, revoked)
	b = binary.BigEndian.AppendUint32(b, uint32(v.From))
	b = binary.BigEndian.AppendUint32(b, uint32(v.Until))
	b = appendName(b, v.Operator)
	return v.Place.Append(b)
}

func (v *Voucher) said(n *Network) []byte {
	return label.AppendFramed(nil, []byte(label.DirectoryVoucher), v.statement(n))
}

// Sign returns the voucher with the signature of a founder. It returns
// [ErrFormat] for a voucher that cannot be, and [ErrFounder] for another's key.
func (v *Voucher) Sign(n *Network, key ed25519.PrivateKey) (*Voucher, error) {
	if !ValidName(v.Operator) || v.Place.IsNone() || v.Place.Kind() == identity.PlaceDrop || v.From >= v.Until {
		return nil, ErrFormat
	}
	signed, err := v.signed.sign(n, key, v.said(n))
	if err != nil {
		return nil, err
	}
	out := *v
	out.signed = signed
	return &out, nil
}

// Revoke returns an unsigned voucher that ends this one.
func (v *Voucher) Revoke() *Voucher {
	out := *v
	out.Serial, out.Revoked, out.signed = v.Serial+1, true, nil
	return &out
}

// SignedBy returns the names of the founders who have signed.
func (v *Voucher) SignedBy(n *Network) []string { return v.signed.names(n) }

// Complete reports whether enough founders have signed.
func (v *Voucher) Complete(n *Network) bool { return len(v.signed) >= n.Threshold }

// Append appends the encoding of v.
func (v *Voucher) Append(b []byte, n *Network) []byte {
	return v.signed.append(append(b, v.statement(n)...))
}

// ParseVoucher parses what Append makes, and verifies every signature. How many
// there are, Complete says.
func (n *Network) ParseVoucher(b []byte) (*Voucher, error) {
	v, err := n.decodeVoucher(b)
	if err != nil {
		return nil, err
	}
	if err := v.signed.check(n, v.said(n)); err != nil {
		return nil, err
	}
	return v, nil
}

func (n *Network) decodeVoucher(b []byte) (*Voucher, error) {
	c := &cursor{b: b}
	v := new(Voucher)
	c.expect(version)
	root := c.key()
	v.Relay = c.key()
	v.Serial = c.u32()
	revoked := c.u8()
	c.require(revoked <= 1)
	v.Revoked = revoked == 1
	v.From, v.Until = Epoch(c.u32()), Epoch(c.u32())
	c.require(v.From < v.Until)
	v.Operator, v.Place = c.name(), c.place()
	v.signed = parseSignatures(c)
	if err := c.done(); err != nil {
		return nil, err
	}
	if root != n.root {
		return nil, ErrNetwork
	}
	return v, nil
}

// merge adds the signatures of another copy of the same statement.
func (v *Voucher) merge(other *Voucher) *Voucher {
	out := *v
	for _, x := range other.signed {
		if !slices.ContainsFunc(out.signed, func(y signature) bool { return x.by == y.by }) {
			out.signed = append(slices.Clone(out.signed), x)
		}
	}
	slices.SortFunc(out.signed, func(a, b signature) int { return int(a.by) - int(b.by) })
	return &out
}

// over reports whether v counts and not w, for one relay: by serial, then whether it
// revokes, then by the bytes, so that everybody chooses alike.
func (v *Voucher) over(w *Voucher, n *Network) bool {
	if w == nil || v.Serial != w.Serial {
		return w == nil || v.Serial > w.Serial
	}
	return bytes.Compare(v.statement(n), w.statement(n)) > 0
}
