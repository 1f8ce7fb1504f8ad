package directory

import (
	"bytes"
	"errors"
	"time"
)

// Skew is how far a relay's clock may go ahead.
const Skew = 2 * time.Minute

// A Set holds what counts now of a network: one voucher for each relay, its
// descriptors of the last epochs, and proofs. What it holds depends on what came and
// on the time, and not on the order. It has one owner.
//
// It holds at most MaxRelays relays, and of each at most Sequences descriptors in each
// of KeyEpochs + 1 epochs: 24 MiB, when every relay does what it may.
type Set struct {
	n      *Network
	relays map[Identity]*relay
	pruned Epoch
}

// A relay is what is known of one.
type relay struct {
	voucher *Voucher
	held    map[mark]*held
	proof   *Proof // nil: it has not contradicted itself
}

// held is a descriptor and its encoding, which may have to be shown as evidence.
type held struct {
	*Descriptor
	b []byte
}

func (r *relay) dropped() bool { return r.proof != nil || r.voucher.Revoked }

// newest returns the newest descriptor of those that fit, or nil.
func (r *relay) newest(fits func(*Descriptor) bool) *held {
	var best *held
	for _, h := range r.held {
		if fits(h.Descriptor) && (best == nil || best.mark().before(h.mark())) {
			best = h
		}
	}
	return best
}

// NewSet returns an empty set.
func NewSet(n *Network) *Set {
	return &Set{n: n, relays: map[Identity]*relay{}}
}

// prune forgets what has expired, once in an epoch.
func (s *Set) prune(now time.Time) Epoch {
	e := s.n.EpochAt(now)
	if e == s.pruned {
		return e
	}
	s.pruned = e
	for id, r := range s.relays {
		for m, h := range r.held {
			if h.Expiry <= e || h.Epoch > e+1 { // or the clock went back
				delete(r.held, m)
			}
		}
		if r.voucher.Until <= e {
			delete(s.relays, id)
		}
	}
	return e
}

// AddVoucher adds an encoded voucher.
func (s *Set) AddVoucher(b []byte, now time.Time) Verdict {
	e := s.prune(now)
	v, err := s.n.decodeVoucher(b)
	if err != nil {
		return verdictOf(err)
	}
	r := s.relays[v.Relay]
	switch {
	case r != nil && bytes.Equal(r.voucher.statement(s.n), v.statement(s.n)):
		return Known
	case r != nil && !v.over(r.voucher, s.n):
		return Older
	case v.Until <= e:
		return Expired
	case !v.Complete(s.n):
		return Unvouched
	case r == nil && len(s.relays) == MaxRelays:
		return Full
	}
	if v.signed.check(s.n, v.said(s.n)) != nil {
		return Invalid
	}
	if r == nil {
		r = &relay{held: map[mark]*held{}}
		s.relays[v.Relay] = r
	}
	if r.voucher = v; v.Revoked {
		clear(r.held)
	}
	return Accepted
}

// AddDescriptor adds an encoded descriptor. One that is known, of a relay that is
// not, or of another time is told apart before any signature is verified.
func (s *Set) AddDescriptor(b []byte, now time.Time) Verdict {
	e := s.prune(now)
	if len(b) > MaxDescriptor || len(b) < headerSize+signSize {
		return Invalid
	}
	d, err := s.n.takeHeader(&cursor{b: b})
	if err != nil {
		return verdictOf(err)
	}
	r := s.relays[d.Relay]
	switch {
	case r == nil:
		return Unvouched
	case r.dropped():
		return Dropped
	case d.Expiry <= e:
		return Expired
	case d.Epoch > s.n.EpochAt(now.Add(Skew)) && d.Epoch > e:
		return Early
	}
	old := r.held[d.mark()]
	if old != nil && sameBody(old.b, b) {
		return Known
	}
	if d, err = s.n.ParseDescriptor(b); err != nil {
		return verdictOf(err)
	}
	if old != nil {
		return s.contradict(r, old.b, b)
	}
	verdict := Accepted
	if r.newest(func(o *Descriptor) bool { return d.mark().before(o.mark()) }) != nil {
		verdict = Older
	}
	r.held[d.mark()] = &held{d, bytes.Clone(b)}
	return verdict
}

func (s *Set) contradict(r *relay, a, b []byte) Verdict {
	p, err := s.n.NewProof(a, b)
	if err != nil {
		return Invalid
	}
	r.proof = p
	clear(r.held)
	return Contradicted
}

// AddProof adds an encoded proof. The relay stays dropped until its voucher ends,
// whatever founders say meanwhile: it may come back with another identity.
func (s *Set) AddProof(b []byte, now time.Time) Verdict {
	s.prune(now)
	first, _, err := splitProof(b)
	if err != nil {
		return Invalid
	}
	d, err := s.n.takeHeader(&cursor{b: first})
	if err != nil {
		return verdictOf(err)
	}
	r := s.relays[d.Relay]
	switch {
	case r == nil:
		return Unvouched
	case r.proof != nil:
		return Known
	}
	if r.proof, err = s.n.ParseProof(b); err != nil {
		r.proof = nil
		return verdictOf(err)
	}
	clear(r.held)
	return Contradicted
}

// Proof returns the proof against a relay, or nil.
func (s *Set) Proof(id Identity) *Proof {
	if r := s.relays[id]; r != nil {
		return r.proof
	}
	return nil
}

func verdictOf(err error) Verdict {
	if errors.Is(err, ErrNetwork) {
		return Foreign
	}
	return Invalid
}
