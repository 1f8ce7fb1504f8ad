package node

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/node/store/storetest"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/wire"
)

// TestUnreadBoxesAfterAStart loads a contact from whom a file comes over drops: boxes that
// were not read are looked for at once, and not only when the next one came; and no more
// when the file is declined.
func TestUnreadBoxesAfterAStart(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	m, _ := mailWith(&now)
	memory := storetest.NewMemory()
	c := comingFile(t, memory, now, m.network.ID())
	p, id := &person{conversation: c}, relayed.ContactID(c.ID())
	m.desk.store, m.desk.people = memory, map[channel.ContactID]*person{c.ID(): p}
	if m.sync(p); !m.machine.Missing(id) {
		t.Fatal("boxes that were not read are not looked for")
	}
	out, err := c.RemoveFile(now, c.Files()[0].Seq)
	if err != nil || m.desk.stage(out.Writes) != nil {
		t.Fatal(err)
	}
	if m.sync(p); m.machine.Missing(id) {
		t.Error("boxes are looked for though nothing is missing")
	}
}

// comingFile is a conversation, as it is stored, in which drops are agreed and a file was
// taken that its sender offered on a connection.
func comingFile(t *testing.T, memory *storetest.Memory, now time.Time, network identity.NetworkID) *channel.Conversation {
	t.Helper()
	inv, err := identity.NewInvitation(prototest.Reader(1), identity.Place{}, now.Add(48*time.Hour), false)
	if err != nil {
		t.Fatal(err)
	}
	stores := [2]*storetest.Memory{memory, storetest.NewMemory()}
	var cfgs [2]channel.Config
	var talks [2]*channel.Conversation
	var inbox [2][]*wire.Box
	do := func(i int, out *channel.Output, err error) {
		t.Helper()
		for {
			if err != nil || stores[i].Commit(out.Writes...) != nil {
				t.Fatal(err)
			}
			inbox[1-i] = append(append(inbox[1-i], out.Boxes...), out.Bulk...)
			if !out.More {
				return
			}
			out = talks[i].Flush(now)
		}
	}
	for i, as := range []identity.Side{identity.Inviter, identity.Accepter} {
		cfgs[i] = channel.Config{Random: prototest.Reader(byte(2 + i)), Records: stores[i]}
		c, out, err := channel.New(cfgs[i], channel.ContactID{byte(2 + i)}, channel.Introduction{Number: 1, Name: "Larch", Side: as, Invitation: inv}, now)
		talks[i] = c
		do(i, out, err)
	}
	hellos := [2]wire.Hello{{1}, {2}}
	for i, c := range talks {
		do(i, c.LinkUp(now, 1, true, i == 1, hellos[i], hellos[1-i]), nil)
	}
	settle := func() {
		for len(inbox[0])+len(inbox[1]) > 0 {
			for i := range inbox {
				if len(inbox[i]) > 0 {
					box := inbox[i][0]
					inbox[i] = inbox[i][1:]
					do(i, talks[i].Box(now, 1, box), nil)
				}
			}
		}
	}
	settle()
	for i, c := range talks {
		do(i, c.OfferDrop(now, network, onion.ID{byte(1 + i)}, 1), nil)
	}
	settle()
	set := channel.DropSet{Network: network, Relays: [3]onion.ID{{1}, {2}, {3}}, Period: 1, First: 9}
	do(0, talks[0].NameDrops(now, set), nil)
	content := make([]byte, 10_000)
	sum := sha256.Sum256(content)
	_, out, err := talks[1].SendFile(now, channel.FileSource{Path: "/out/f", Name: "f", Size: 10_000, Sum: sum, Piece: 1 << 20, Sums: sum[:]})
	do(1, out, err)
	settle()
	out, err = talks[0].TakeFile(now, talks[0].Files()[0].Seq, "/in/f")
	do(0, out, err)
	cfgs[0].Records = memory
	c, err := channel.Load(cfgs[0], talks[0].ID())
	if err != nil {
		t.Fatal(err)
	}
	return c
}
