package channel_test

import (
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store/storetest"
	"github.com/backchannel/backchannel/protocol/backup"
	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/prototest"
)

// restored puts what a backup of s holds into a new store, after its encoding, and changed.
func (s *side) restored(introducer channel.ContactID, change func(*backup.Contact)) {
	s.w.t.Helper()
	kept, ok := s.c.Backup()
	if !ok {
		s.w.t.Fatal("there is nothing to keep")
	}
	b, err := backup.Parse((&backup.Backup{Made: 1, Contacts: []backup.Contact{kept}}).Append(nil))
	if err != nil {
		s.w.t.Fatal(err)
	}
	change(&b.Contacts[0])
	records, err := channel.Restored(prototest.Reader(77), s.id, introducer, &b.Contacts[0])
	if err != nil {
		s.w.t.Fatal(err)
	}
	store := storetest.NewMemory()
	if err := store.Commit(records...); err != nil {
		s.w.t.Fatal(err)
	}
	s.putBack(store)
}

// TestBackupKeepsWhatWasPromised restores a contact who is talked to directly alone, with
// whom there were channels: one burned, one of this side's, one of the other's.
func TestBackupKeepsWhatWasPromised(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 21)
	w.meet()
	w.a.do(w.a.c.SetRoute(w.a.now(), channel.DirectRoute))
	for _, name := range []string{"burned", "own"} {
		w.a.agree(w.a.c.OpenChannel(w.a.now(), w.a.terms(name, 20*24*time.Hour)))
	}
	w.b.acceptPending(4)
	w.b.agree(w.b.c.OpenChannel(w.b.now(), w.b.terms("theirs", 20*24*time.Hour)))
	w.a.acceptPending(3)
	w.b.sayIn(3, "before the machine was lost")
	w.b.agree(w.b.c.OpenChannel(w.b.now(), w.b.terms("theirs, proposed", 20*24*time.Hour)))
	out, err := w.a.c.BurnChannel(w.a.now(), 2)
	if err != nil {
		t.Fatal(err)
	}
	w.a.do(out)
	w.a.restored(channel.ContactID{}, func(*backup.Contact) {})
	if got := w.a.c.View(); got.Route != channel.DirectRoute || got.Introduced {
		t.Errorf("the route is %v; introduced: %v", got.Route, got.Introduced)
	}
	w.goOn()
	if got := w.b.channel(3); got.Phase != charter.Closed { // a text in it came again, and nobody here had accepted
		t.Errorf("their channel in which something was said is %v", got.Phase)
	}
	if got := w.a.channel(5); got.Pending == nil {
		t.Errorf("their proposal did not come again: %+v", got)
	}
	if got := w.b.channel(4); got.Phase != charter.Closed {
		t.Errorf("the channel that the lost machine had opened is %v", got.Phase)
	}
	if got := w.a.agree(w.a.c.OpenChannel(w.a.now(), w.a.terms("anew", time.Hour))); got.Number != 6 {
		t.Errorf("the next channel has number %d", got.Number)
	}
	w.b.acceptPending(6)
	w.b.sayIn(6, "new")
	if got := w.a.textsIn(6); len(got) != 1 {
		t.Errorf("in the new channel: %q", got)
	}
}

// TestBackupKeepsIntroducers restores a contact whom another one introduced.
func TestBackupKeepsIntroducers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 22)
	w.meet()
	finch := channel.ContactID{9}
	w.a.cfg.Name = func(id channel.ContactID) string {
		if id == finch {
			return "Finch"
		}
		return ""
	}
	for name, by := range map[string]channel.ContactID{"Finch": finch, "": {}} {
		w.a.restored(by, func(c *backup.Contact) { c.Introduced, c.Introducer = true, 9 })
		if got := w.a.c.View(); !got.Introduced || got.IntroducedBy != name || got.Route != channel.BothRoutes {
			t.Errorf("%+v", got)
		}
		if id, ok := w.a.c.Introducer(); !ok || id != by {
			t.Errorf("introduced by %x, %v", id, ok)
		}
		if kept, _ := w.a.c.Backup(); !kept.Introduced {
			t.Error("the next backup forgets that there was an introducer")
		}
		w.goOn()
	}
}
