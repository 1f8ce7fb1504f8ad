package node

import (
	"slices"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
)

// membershipsKept is of how many epochs it is known which relays this machine saw: of eight
// days at an hour each. A box waits for four.
const membershipsKept = 200

// memberships are the hashes of the relays that were seen in the last epochs, in memory
// alone: of what was before this run nothing is compared. An epoch counts in which both
// guards have answered, and as its view was after the last answer. So one that leaves some
// relays out is not taken for all that can be known, and who knows less because he has not
// asked yet says nothing; nor does one to whom a longer answer came, of which the rest may
// have been left out.
type memberships struct {
	answered map[onion.ID]directory.Epoch // guards, and in which epoch each did last
	kept     map[directory.Epoch][32]byte
	newest   directory.Statement
}

// answeredBy takes note that a relay has answered which relays there are, and that the view
// is up to date with it.
func (m *line) answeredBy(relay onion.ID, answer []byte) {
	guards := pinnedIn(m.guards())
	if m.view == nil || len(answer) == 0 || len(answer) > directory.MaxMessage/2 || len(guards) < 2 || !slices.Contains(guards, relay) {
		return
	}
	s, e := &m.memberships, m.view.Epoch()
	if s.kept == nil {
		s.answered, s.kept = map[onion.ID]directory.Epoch{}, map[directory.Epoch][32]byte{}
	}
	s.answered[relay] = e
	for g := range s.answered {
		if !slices.Contains(guards, g) {
			delete(s.answered, g)
		}
	}
	for _, g := range guards {
		if s.answered[g] != e {
			return
		}
	}
	s.newest = m.view.Statement()
	s.kept[e] = s.newest.Membership
	for old := range s.kept { // after a clock was put back, too
		if old > e || e-old >= membershipsKept {
			delete(s.kept, old)
		}
	}
}

// knownMemberships is what a desk's conversations know of them. While the desk is not online
// it is nothing.
type knownMemberships struct{ desk *desk }

// Newest implements [channel.Memberships].
func (k knownMemberships) Newest() (directory.Statement, bool) {
	if k.desk.mail == nil {
		return directory.Statement{}, false
	}
	// If a guard is silent, nothing is said: an epoch that stands still would tell the other
	// side since when, and so which relay the guard is.
	s, now := k.desk.mail.memberships.newest, k.desk.mail.network.EpochAt(k.desk.mail.now())
	return s, s.Epoch != 0 && (s.Epoch == now || s.Epoch+1 == now)
}

// Membership implements [channel.Memberships].
func (k knownMemberships) Membership(n identity.NetworkID, e directory.Epoch) ([32]byte, bool) {
	if k.desk.mail == nil || k.desk.mail.network.ID() != n {
		return [32]byte{}, false
	}
	h, ok := k.desk.mail.memberships.kept[e]
	return h, ok
}

// othersSeen reports whether a contact's machine sees other relays, and goes on to.
func (m *mail) othersSeen() bool {
	for _, p := range m.desk.people {
		if p.conversation.OtherRelays() {
			return true
		}
	}
	return false
}
