package node

import (
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"time"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
)

var errOtherGuard = errors.New("node: this relay is not the guard")

// look begins an epoch, and asks for relays once in each half of one.
func (m *line) look(now time.Time) {
	now = now.Round(0)
	if m.view != nil && m.view.Epoch() != m.epoch(now) {
		m.newView(now)
		m.tellView(now)
	}
	if half := halfOf(now, m.network.Constants.Epoch); half != m.half {
		m.half, m.askAt = half, drawAsk(m.draw(), half, m.network.Constants.Epoch)
		if m.askAt.Before(now) {
			m.askAt = time.Time{} // the machine was not on then
		}
	}
	if m.askAt.IsZero() || now.Before(m.askAt) {
		return
	}
	m.askAt = time.Time{}
	m.askGuard()
	for _, g := range pinnedIn(m.guards()) {
		if g != m.machine.Guard() { // that one is asked whenever a link with it is made, too
			m.askOther(g)
		}
	}
}

// halfOf numbers the halves of epochs.
func halfOf(now time.Time, epoch time.Duration) int64 { return now.UnixNano() / int64(epoch/2) }

// drawAsk draws when relays are asked for in a half of an epoch: in its middle half, so that
// what was flooded at its beginning is there, and nobody's view is late. The moment depends
// on nothing else. So it does not show when the machine was started, and no two are known by
// asking at one time.
func drawAsk(random secret.Key, half int64, epoch time.Duration) time.Time {
	defer random.Wipe()
	begin, length := half*int64(epoch/2), uint64(epoch/2)
	into, _ := bits.Mul64(binary.BigEndian.Uint64(random.Bytes()), length/2)
	return time.Unix(0, begin+int64(length/4+into))
}

// epoch is that of what is being decided now, and leaves later.
func (m *line) epoch(now time.Time) directory.Epoch { return m.network.EpochAt(now.Add(m.lead)) }

// learn takes what a relay has answered. A guard that answers what nobody does who keeps to
// the rules is left.
func (m *line) learn(from onion.ID, answer []byte) {
	now := m.now()
	fresh, blame := m.merge(answer)
	if fresh {
		m.newView(now)
		m.tellView(now)
	}
	if blame {
		m.turn(m.at, m.machine.Distrust(now, from))
	} else {
		m.answeredBy(from, answer)
	}
}

// merge adds an answer to what is known. It reports whether something was new, and whether
// something in it is the answerer's fault.
func (m *line) merge(answer []byte) (fresh, blame bool) {
	if len(answer) == 0 {
		return false, false
	}
	tally, err := m.set.Merge(answer, m.cfg.Now())
	if err != nil {
		return false, true
	}
	items, _ := directory.ParseItems(answer) // it parsed above
	for _, i := range items {
		if i.Kind != directory.VoucherItem {
			continue
		}
		if v, err := m.network.ParseVoucher(i.Bytes); err == nil && v.Complete(m.network) {
			m.keepVoucher(v)
		}
	}
	return tally[directory.Accepted]+tally[directory.Contradicted]+tally[directory.Older] > 0,
		tally[directory.Invalid]+tally[directory.Foreign] > 0
}

// keepVoucher remembers where a relay is, by its newest voucher.
func (m *line) keepVoucher(v *directory.Voucher) {
	if old := m.vouchers[v.Relay.ID()]; len(m.vouchers) < directory.MaxRelays && old == nil || old != nil && v.Serial > old.Serial {
		m.vouchers[v.Relay.ID()] = v
		if v.Revoked || m.avoids(v.Relay.ID()) {
			m.turn(m.at, m.machine.SetAvoided(m.now(), m.unwanted()))
		}
	}
}

// newView works out the relays of the epoch. Too few to hide among are none.
func (m *line) newView(now time.Time) {
	v := m.set.View(m.epoch(now))
	if m.view = v; v.Check() != nil {
		m.view = nil
	}
}

func (m *line) tellView(now time.Time) {
	if m.view == nil {
		m.turn(m.at, m.machine.SetView(now, nil))
		return
	}
	m.turn(m.at, m.machine.SetView(now, m.view))
}

// A record of guards is of each the ID 20 and the second until which it is kept 8; see
// package relayed.
const guardRecord = onion.IDSize + 8

// firstGuard is the record of a machine whose one guard is the relay that answered it
// first: no other relay is to learn its address. It draws the second itself.
func firstGuard(relay onion.ID, now time.Time) []byte {
	b := binary.BigEndian.AppendUint64(relay[:], uint64(now.Add(firstGuardLife).Unix()))
	return append(b, make([]byte, guardRecord)...)
}

const firstGuardLife = 75 * 24 * time.Hour

// pinnedIn returns the guards of a record.
func pinnedIn(b []byte) (all []onion.ID) {
	for ; len(b) >= guardRecord; b = b[guardRecord:] {
		if id := onion.ID(b[:onion.IDSize]); id != (onion.ID{}) {
			all = append(all, id)
		}
	}
	return all
}

// draw returns 32 random bytes.
func (m *line) draw() secret.Key {
	k, err := secret.Read(m.cfg.Random)
	if err != nil {
		panic("node: the source of randomness failed")
	}
	return k
}

// below draws a number below n, which is small.
func (m *line) below(n int) int {
	var b [8]byte
	_, _ = io.ReadFull(m.cfg.Random, b[:]) // if it fails, something that matters fails next
	return int(binary.BigEndian.Uint64(b[:]) % uint64(n))
}
