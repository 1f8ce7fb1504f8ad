package directory

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/backchannel/backchannel/node/p2p/link"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
)

// maxProofs is how many proofs wait to be flooded. Others are asked for.
const maxProofs = 16

// Config is what a Directory is made with.
type Config struct {
	Network *directory.Network
	Items   []directory.Item   // of the network file
	Key     ed25519.PrivateKey // the relay's identity
	Places  []identity.Place   // where it can be reached; none: that of its voucher
	Dir     string             // folder in which epoch and sequence are kept, and what was learnt of relays

	Now    func() time.Time // nil: time.Now
	Random io.Reader        // nil: crypto/rand
}

// A Directory is the set of a relay.
type Directory struct {
	cfg    Config
	self   directory.Identity
	proofs chan []byte // messages to flood
	muted  atomic.Bool

	mu       sync.Mutex
	set      *directory.Set                      // guarded by mu
	vouchers map[onion.ID]*directory.Voucher     // that count, by relay; guarded by mu
	learnt   bool                                // something that keep has not written; guarded by mu
	tally    directory.Tally                     // guarded by mu
	views    map[directory.Epoch]*directory.View // of this epoch and the next, until the set changes; guarded by mu
}

// Open fills a set with the vouchers of the network file, and what was learnt before.
func Open(cfg Config) *Directory {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	d := &Directory{
		cfg: cfg, self: directory.Identity(cfg.Key.Public().(ed25519.PublicKey)), proofs: make(chan []byte, maxProofs),
		set: directory.NewSet(cfg.Network), vouchers: map[onion.ID]*directory.Voucher{},
		views: map[directory.Epoch]*directory.View{},
	}
	d.add(cfg.Items)
	d.recall()
	d.learnt = false
	return d
}

// Muted reports whether this relay could not say of itself what it should, since the disk
// did not take the sequence.
func (d *Directory) Muted() bool { return d.muted.Load() }

// add puts items into the set, and says what a message of them is worth.
func (d *Directory) add(items []directory.Item) link.Judgement {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.cfg.Now()
	judgement := link.Ignore
	blamed := false
	for _, i := range items {
		v := d.set.Add(i, now)
		d.tally[v]++
		blamed = blamed || v.Blame()
		switch v {
		case directory.Accepted:
			judgement = link.Accept
			if i.Kind == directory.VoucherItem {
				d.vouch(i.Bytes)
				d.learnt = true
			}
		case directory.Contradicted:
			judgement, d.learnt = link.Accept, true
			d.prove(i)
		default:
			continue
		}
		clear(d.views)
	}
	if blamed {
		return link.Reject
	}
	return judgement
}

// vouch remembers a voucher that the set has taken; mu is held.
func (d *Directory) vouch(b []byte) {
	if v, err := d.cfg.Network.ParseVoucher(b); err == nil {
		d.vouchers[v.Relay.ID()] = v
	}
}

// prove floods the proof that a contradiction has made; mu is held.
func (d *Directory) prove(i directory.Item) {
	if i.Kind != directory.DescriptorItem {
		return // a proof goes on as it came
	}
	parsed, err := d.cfg.Network.ParseDescriptor(i.Bytes)
	if err != nil {
		return
	}
	p := d.set.Proof(parsed.Relay)
	if p == nil {
		return
	}
	select {
	case d.proofs <- directory.AppendItem(nil, directory.Item{Kind: directory.ProofItem, Bytes: p.Append(nil)}):
	default:
	}
}

// Judge implements [link.Judge].
func (d *Directory) Judge(message []byte) link.Judgement {
	items, err := directory.ParseItems(message)
	if err != nil {
		return link.Reject
	}
	return d.add(items)
}

// Relay implements [link.Judge]: relays are those that founders vouch for, and that did
// not contradict themselves.
func (d *Directory) Relay(id onion.ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counts(d.vouchers[id])
}

// counts reports whether a voucher counts now; mu is held.
func (d *Directory) counts(v *directory.Voucher) bool {
	return v != nil && !v.Revoked && v.Until > d.cfg.Network.EpochAt(d.cfg.Now()) && d.set.Proof(v.Relay) == nil
}

// Vouched returns the vouchers that count now, by rising ID.
func (d *Directory) Vouched() []*directory.Voucher {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []*directory.Voucher
	for _, v := range d.vouchers {
		if d.counts(v) {
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(a, b *directory.Voucher) int {
		x, y := a.Relay.ID(), b.Relay.ID()
		return slices.Compare(x[:], y[:])
	})
	return all
}

// View returns the relays of an epoch, as far as they are known now.
func (d *Directory) View(e directory.Epoch) *directory.View {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.views[e]
	if v == nil {
		if len(d.views) >= 4 {
			clear(d.views)
		}
		v = d.set.View(e)
		d.views[e] = v
	}
	return v
}

// Tally returns how often what came was judged how.
func (d *Directory) Tally() directory.Tally {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.tally
}

// Question returns what is asked of another relay: a random name to begin at, and what is
// held.
func (d *Directory) Question() ([]byte, error) {
	var id onion.ID
	if _, err := io.ReadFull(d.cfg.Random, id[:]); err != nil {
		return nil, fmt.Errorf("drawing a name: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return append(id[:], d.set.Summary(d.cfg.Now())...), nil
}

// Answer answers a question; nil to one that is malformed.
func (d *Directory) Answer(question []byte) []byte {
	if len(question) < onion.IDSize {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	message, _, err := d.set.Answer(question[onion.IDSize:], onion.ID(question), d.cfg.Now())
	if err != nil {
		return nil
	}
	return message
}

// ErrAnswer is returned for an answer that nobody who keeps to the rules gives.
var ErrAnswer = errors.New("directory: the neighbour's answer is wrong")

// Take takes the answer of a neighbour. It reports whether something in it was new.
func (d *Directory) Take(answer []byte) (bool, error) {
	if len(answer) == 0 {
		return false, nil
	}
	switch d.Judge(answer) {
	case link.Reject:
		return false, ErrAnswer
	case link.Accept:
		return true, nil
	case link.Ignore:
	}
	return false, nil
}
