package channel_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store/storetest"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A racer is one of two who hold the same invitation and come at once, or the
// inviter, who has a queue for each of them.
type racer struct {
	t      *testing.T
	cfg    channel.Config
	store  *storetest.Memory
	c      *channel.Conversation
	link   channel.LinkID // of an accepter; 0: none
	up     bool           // the link stands at the inviter's, too
	toHim  []*wire.Box    // what the inviter sent to this accepter
	toHer  []*wire.Box    // what he sent to the inviter
	got    int            // boxes that the inviter ever sent to him
	random byte
}

func newRacer(t *testing.T, as identity.Side, inv identity.Invitation, seed byte) *racer {
	t.Helper()
	r := &racer{t: t, store: storetest.NewMemory(), random: seed}
	r.cfg = channel.Config{Random: prototest.Reader(seed), Records: r.store}
	c, out, err := channel.New(r.cfg, channel.ContactID{seed}, channel.Introduction{Number: 1, Name: "x", Side: as, Invitation: inv}, start)
	if err != nil {
		t.Fatal(err)
	}
	r.c = c
	r.commit(out)
	return r
}

func (r *racer) commit(out *channel.Output) {
	r.t.Helper()
	if err := r.store.Commit(out.Writes...); err != nil {
		r.t.Fatal(err)
	}
}

func (r *racer) restart() {
	r.t.Helper()
	r.store = r.store.Reopen()
	r.cfg.Records = r.store
	var err error
	if r.c, err = channel.Load(r.cfg, channel.ContactID{r.random}); err != nil {
		r.t.Fatal(err)
	}
}

// A race is the inviter and the two.
type race struct {
	inviter *racer
	both    [2]*racer
	links   channel.LinkID
	now     time.Time
}

// do carries out what the inviter puts out.
func (x *race) do(out *channel.Output) {
	for {
		x.inviter.commit(out)
		for _, r := range x.both {
			if r.up && r.link == out.Link {
				r.toHim = append(r.toHim, out.Boxes...)
				r.got += len(out.Boxes)
			}
			for _, id := range out.Close {
				if r.up && r.link == id {
					x.cut(r)
				}
			}
		}
		if !out.More {
			return
		}
		out = x.inviter.c.Flush(x.now)
	}
}

// his carries out what one of the two puts out.
func (x *race) his(r *racer, out *channel.Output) {
	for {
		r.commit(out)
		if r.link != 0 && out.Link == r.link {
			r.toHer = append(r.toHer, out.Boxes...)
		}
		if !out.More {
			return
		}
		out = r.c.Flush(x.now)
	}
}

func (x *race) cut(r *racer) {
	id := r.link
	r.link, r.up, r.toHim, r.toHer = 0, false, nil, nil
	r.commit(r.c.LinkDown(x.now, id))
	x.inviter.commit(x.inviter.c.LinkDown(x.now, id))
}

// step lets one of the two get a little further.
func (x *race) step(r *racer) {
	switch {
	case r.link == 0:
		x.links++
		r.link, r.up = x.links, true
		his, hers := wire.Hello{1, byte(r.link), byte(r.link >> 8)}, wire.Hello{2, byte(r.link), byte(r.link >> 8)}
		invitation := r.c.Links(x.now)[0].Invitation // not any more, when he has met her
		x.do(x.inviter.c.LinkUp(x.now, r.link, invitation, false, hers, his))
		x.his(r, r.c.LinkUp(x.now, r.link, invitation, true, his, hers))
	case len(r.toHer) > 0:
		box := r.toHer[0]
		r.toHer = r.toHer[1:]
		x.do(x.inviter.c.Box(x.now, r.link, box))
	case len(r.toHim) > 0:
		box := r.toHim[0]
		r.toHim = r.toHim[1:]
		x.his(r, r.c.Box(x.now, r.link, box))
	}
}

// TestTwoComeAtOnce lets two who hold one invitation come at the same time, step
// by step in any order, while the inviter's program is restarted now and then. One
// of them gets to a session, the other not one byte; the inviter is told.
func TestTwoComeAtOnce(t *testing.T) {
	t.Parallel()
	wins := [2]int{}
	for seed := range byte(10) {
		rng := rand.New(prototest.Reader(seed))
		inv, err := identity.NewInvitation(prototest.Reader(seed), identity.Place{}, start.Add(48*time.Hour), seed%2 == 1)
		if err != nil {
			t.Fatal(err)
		}
		x := &race{now: start, inviter: newRacer(t, identity.Inviter, inv, 200)}
		x.both = [2]*racer{newRacer(t, identity.Accepter, inv, 201), newRacer(t, identity.Accepter, inv, 202)}
		for i := range 400 {
			x.step(x.both[rng.IntN(2)])
			if rng.IntN(60) == 0 {
				for _, r := range x.both {
					if r.link != 0 {
						x.cut(r)
					}
				}
				x.inviter.restart()
			}
			if i%4 == 0 {
				x.now = x.now.Add(time.Second)
				x.do(x.inviter.c.Tick(x.now))
				for _, r := range x.both {
					x.his(r, r.c.Tick(x.now))
				}
			}
		}
		x.judge(fmt.Sprint("race ", seed), &wins)
	}
	if wins[0] == 0 || wins[1] == 0 {
		t.Errorf("won %v times: the races are none", wins)
	}
}

func (x *race) judge(what string, wins *[2]int) {
	t := x.inviter.t
	t.Helper()
	for range 200 { // and no more restarts
		for _, r := range x.both {
			x.step(r)
			x.step(r)
		}
	}
	if v := x.inviter.c.View(); v.Stage != channel.Met || !v.UsedTwice {
		t.Fatalf("%s: the inviter stands at %v, told of the second: %v", what, v.Stage, v.UsedTwice)
	}
	if _, _, err := x.inviter.c.Send(x.now, "secret"); err == nil {
		t.Errorf("%s: a text leaves although the invitation was used twice", what)
	}
	met := 0
	for i, r := range x.both {
		if r.c.View().Stage != channel.Met {
			if r.got != 0 {
				t.Errorf("%s: the one who lost got %d boxes", what, r.got)
			}
			continue
		}
		met++
		wins[i]++
		words, err := r.c.Words()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if d, _, err := x.inviter.c.Compare(x.now, channel.Heard{Words: words.Words()}); err != nil || !d.Match {
			t.Errorf("%s: the words of the one who won do not fit (%v)", what, err)
		}
	}
	if met != 1 {
		t.Errorf("%s: %d of the two came to a session", what, met)
	}
}
