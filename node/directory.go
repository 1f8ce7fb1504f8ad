package node

import (
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/secret"
)

var errOtherGuard = errors.New("node: this relay is not the guard")

// look begins an epoch, and asks for relays in the middle of each half of one: at
// times that everybody has, and that depend on nothing.
func (m *mail) look(now time.Time) {
	now = now.Round(0)
	if m.view != nil && m.view.Epoch() != m.epoch(now) {
		m.newView(now)
		m.tellView(now)
	}
	half := m.network.Constants.Epoch / 2
	at := now.Add(half/2).UnixNano() / int64(half)
	if m.asked == at || m.link == nil {
		return
	}
	m.asked = at
	m.askGuard()
	for _, g := range pinnedIn(m.guards()) {
		if g != m.link.guard {
			m.askOther(g)
		}
	}
}

// epoch is that of what is being decided now, and leaves later.
func (m *mail) epoch(now time.Time) directory.Epoch { return m.network.EpochAt(now.Add(m.lead)) }

// learn takes what a relay has answered.
func (m *mail) learn(answer []byte) {
	now := m.now()
	if m.merge(answer) {
		m.newView(now)
		m.tellView(now)
	}
}

// merge adds an answer to what is known, and reports whether something was new.
func (m *mail) merge(answer []byte) bool {
	if len(answer) == 0 {
		return false
	}
	tally, err := m.set.Merge(answer, m.desk.cfg.Now())
	if err != nil {
		return false
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
	return tally[directory.Accepted]+tally[directory.Contradicted]+tally[directory.Older] > 0
}

// keepVoucher remembers where a relay is, by its newest voucher.
func (m *mail) keepVoucher(v *directory.Voucher) {
	if old := m.vouchers[v.Relay.ID()]; len(m.vouchers) < directory.MaxRelays && old == nil || old != nil && v.Serial > old.Serial {
		m.vouchers[v.Relay.ID()] = v
		if v.Revoked || m.avoids(v.Relay.ID()) {
			m.turn(m.at, m.machine.SetAvoided(m.now(), m.unwanted()))
		}
	}
}

// newView works out the relays of the epoch. Too few to hide among are none.
func (m *mail) newView(now time.Time) {
	v := m.set.View(m.epoch(now))
	if m.view = v; v.Check() != nil {
		m.view = nil
	}
}

func (m *mail) tellView(now time.Time) {
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
func (m *mail) draw() secret.Key {
	k, err := secret.Read(m.desk.cfg.Random)
	if err != nil {
		panic("node: the source of randomness failed")
	}
	return k
}

// below draws a number below n, which is small.
func (m *mail) below(n int) int {
	var b [8]byte
	_, _ = io.ReadFull(m.desk.cfg.Random, b[:]) // if it fails, something that matters fails next
	return int(binary.BigEndian.Uint64(b[:]) % uint64(n))
}
