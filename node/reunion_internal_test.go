package node

import (
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
)

// TestErrandsThatCameBack: a box that was never asked for can be asked for again; one that
// was, cannot.
func TestErrandsThatCameBack(t *testing.T) {
	now := time.Now()
	m, _ := mailWith(&now, "one")
	id := channel.ContactID{7}
	record := newMeeting(100)
	m.reunions = map[channel.ContactID]*meeting{id: record}
	m.errands = map[uint64]errandOf{}
	for n := range uint64(2) {
		at := 100 + uint32(n)
		record.asked[askedAnswers][at] = true
		record.open[n+1] = true
		m.errands[n+1] = errandOf{id: id, reunion: true, get: true, kind: askedAnswers, at: at}
	}
	m.done([]relayed.Done{{Number: 1, Status: drop.Failed, Unsent: true}, {Number: 2}})
	if at, ok := record.next(askedAnswers, 101, nil); !ok || at != 100 || len(record.open) != 0 || len(m.errands) != 0 {
		t.Errorf("%+v, %v", record, m.errands)
	}
	if record.asked[askedAnswers][100] || !record.asked[askedAnswers][101] {
		t.Errorf("asked for: %v", record.asked[askedAnswers])
	}
}

// TestGoneForGood: a relay is replaced when founders have taken back their word, or let it
// end long ago; not one that is unknown, or whose voucher has only just ended.
func TestGoneForGood(t *testing.T) {
	now := time.Now()
	m, ids := mailWith(&now, "there", "revoked", "ended", "ended long ago")
	m.vouchers[ids[1]].Revoked = true
	m.vouchers[ids[2]].Until = m.network.EpochAt(now.Add(-24 * time.Hour))
	m.vouchers[ids[3]].Until = m.network.EpochAt(now.Add(-9 * 24 * time.Hour))
	for i, want := range []bool{false, true, false, true} {
		if got := m.gone(ids[i], now); got != want {
			t.Errorf("%s: %v", m.vouchers[ids[i]].Operator, got)
		}
	}
	m.desk.mail = m
	other := m.network.ID()
	other[0] ^= 1
	if m.desk.dropGone(m.network.ID(), ids[1]) {
		t.Error("conversations are told before anything was heard of the network")
	}
	m.view = new(directory.View)
	if here := m.network.ID(); !m.desk.dropGone(here, ids[1]) || m.desk.dropGone(here, ids[0]) || m.desk.dropGone(other, ids[1]) {
		t.Error("conversations are told of other relays, or of another network's")
	}
	if m.gone(onion.ID{99}, now) {
		t.Error("a relay of which nothing is known")
	}
}
