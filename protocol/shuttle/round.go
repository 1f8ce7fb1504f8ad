package shuttle

import (
	"encoding/binary"
	"fmt"
	"io"
)

// MaxLife is how long an exchange may take at most, in minutes: 31 days.
const MaxLife = 31 * 24 * 60

// A Round is the mediator's side of an exchange of sealed offers. It has one
// caller at a time. Store it, see [Round.Append], in the commit that queues what
// it passes on.
type Round struct {
	expiry    uint32
	subject   string
	ids       [2]ID
	committed [2]bool
	openings  [2][]byte // while they wait for each other
	released  bool
}

// NewRound begins an exchange about a subject, which both read; the expiry is in
// minutes since 1970.
func NewRound(subject string, expiry, now uint32, random io.Reader) (*Round, error) {
	if !plain(subject) {
		return nil, ErrText
	}
	if expiry <= now || expiry-now > MaxLife {
		return nil, ErrExpiry
	}
	r := &Round{expiry: expiry, subject: subject}
	for n := range r.ids {
		if _, err := io.ReadFull(random, r.ids[n][:]); err != nil {
			return nil, fmt.Errorf("drawing an exchange: %w", err)
		}
	}
	return r, nil
}

// Call returns the call for one of the two.
func (r *Round) Call(role Role) []byte { return call(r.ids[role-First], role, r.expiry, r.subject) }

// Subject is what both read that the offers are about.
func (r *Round) Subject() string { return r.subject }

// ID returns the ID that one of the two knows.
func (r *Round) ID(role Role) ID { return r.ids[role-First] }

// Expiry is the minute since 1970 from which nothing is passed on any more.
func (r *Round) Expiry() uint32 { return r.expiry }

// Committed reports who has committed. The second's machine commits when the
// first has, so the second may have sealed before it shows here.
func (r *Round) Committed() (first, second bool) { return r.committed[0], r.committed[1] }

// Ready reports whether both openings are here, so that [Round.Release] lets both
// read at once.
func (r *Round) Ready() bool { return r.openings[0] != nil && r.openings[1] != nil }

// Released reports whether both openings were passed on.
func (r *Round) Released() bool { return r.released }

// Receive takes a message of one of the two. If pass is not nil, it goes to the
// other one at once: commitments. Openings wait for each other. After an error
// nothing is changed.
func (r *Round) Receive(from Role, m []byte, now uint32) (pass []byte, err error) {
	kind, id, body, err := split(m)
	switch {
	case err != nil:
		return nil, err
	case !from.valid() || id != r.ids[from-First]:
		return nil, ErrOrder
	case now >= r.expiry:
		return nil, ErrExpired
	}
	switch {
	case kind == messageFirst && from == First && !r.committed[0]:
		r.committed[0] = true
		return message(kind, r.ids[1], body), nil
	case kind == messageSecond && from == Second && r.committed[0] && !r.committed[1]:
		r.committed[1] = true
		return message(kind, r.ids[0], body), nil
	case kind == messageOpening && r.committed[1] && !r.released && r.openings[from-First] == nil && !zero(body):
		r.openings[from-First] = append([]byte(nil), body...)
		return nil, nil
	}
	return nil, ErrOrder
}

// Release returns both openings, each for the other one, and forgets them.
func (r *Round) Release(now uint32) (toFirst, toSecond []byte, err error) {
	if !r.Ready() {
		return nil, nil, ErrOrder
	}
	if now >= r.expiry {
		return nil, nil, ErrExpired
	}
	toFirst = message(messageOpening, r.ids[0], r.openings[1])
	toSecond = message(messageOpening, r.ids[1], r.openings[0])
	r.openings, r.released = [2][]byte{}, true
	return toFirst, toSecond, nil
}

// RoundSize is the length of a stored round in bytes, whatever it holds.
const RoundSize = 2 + 4 + 2*16 + 1 + MaxSubject + 2*openingSize

const (
	flagFirst = 1 << iota
	flagSecond
	flagReleased
)

// Append appends the stored form of r to b. An opening that is not there is zeros.
//
//	version 1 ‖ flags 1 ‖ expiry 4 ‖ ID for the first 16, for the second 16
//	‖ length of the subject 1 ‖ subject 128 ‖ opening of the first, of the second
func (r *Round) Append(b []byte) []byte {
	flags := byte(0)
	for i, set := range []bool{r.committed[0], r.committed[1], r.released} {
		if set {
			flags |= 1 << i
		}
	}
	b = binary.BigEndian.AppendUint32(append(b, version, flags), r.expiry)
	b = appendSubject(append(append(b, r.ids[0][:]...), r.ids[1][:]...), r.subject)
	return appendOr(appendOr(b, r.openings[0], openingSize), r.openings[1], openingSize)
}

// ParseRound parses what Append made.
func ParseRound(b []byte) (*Round, error) {
	if len(b) != RoundSize || b[0] != version || b[1] > flagFirst|flagSecond|flagReleased {
		return nil, ErrFormat
	}
	r := &Round{
		expiry: minute(b[2:]), ids: [2]ID{ID(b[6:22]), ID(b[22:38])},
		committed: [2]bool{b[1]&flagFirst != 0, b[1]&flagSecond != 0}, released: b[1]&flagReleased != 0,
	}
	var err error
	if r.subject, err = parseSubject(b[38:]); err != nil {
		return nil, err
	}
	b = b[39+MaxSubject:]
	for n := range r.openings {
		if field := b[n*openingSize : (n+1)*openingSize]; !zero(field) {
			r.openings[n] = append([]byte(nil), field...)
		}
	}
	waits := r.openings[0] != nil || r.openings[1] != nil
	if r.committed[1] && !r.committed[0] || (waits || r.released) && !r.committed[1] || waits && r.released {
		return nil, ErrFormat
	}
	return r, nil
}
