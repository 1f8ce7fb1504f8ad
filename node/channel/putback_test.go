package channel_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store/storetest"
)

// An image is all that a machine has stored: the conversation and its chains.
type image struct {
	store *storetest.Memory
	route *route
}

func (d *drops) image(s *side) image { return image{s.store.Copy(), d.routes[s].copy()} }

// putBack puts a machine back to an image, without its store noticing.
func (d *drops) putBack(s *side, i image) {
	d.lossy = true
	d.routes[s] = i.route.copy()
	s.putBack(i.store.Copy())
	s.written, s.peer.written = nil, nil
}

// together reports whether both have one session in use, and in it what is said can be read.
func (d *drops) together() bool {
	a, b := d.w.a.c.Seals(), d.w.b.c.Seals()
	return len(a) > 0 && len(b) > 0 && a[0].Key.Equal(b[0].Key)
}

// goOn has whoever is paused consent, and wants a text of each to arrive within days.
func (d *drops) goOn(n int) error {
	sides := []*side{d.w.a, d.w.b}
	for _, s := range sides {
		if s.c.View().Paused {
			out, err := s.c.Consent(s.now())
			if err != nil {
				return err
			}
			s.do(out)
		}
	}
	d.days(n, nil)
	for _, s := range sides {
		s.send(fmt.Sprint("the end of ", s.name, d.w.now.Unix()))
	}
	d.days(n, nil)
	for _, s := range sides {
		want := s.written[len(s.written)-1]
		if got := s.peer.texts(channel.In); len(got) == 0 || got[len(got)-1] != want {
			return fmt.Errorf("%s does not have %q: %q", s.peer.name, want, got)
		}
	}
	return nil
}

// told reports whether a person was told a line of the program since some time.
func (s *side) saw(note string, since time.Time) bool {
	for _, m := range s.c.Transcript(0) {
		if m.Direction == channel.Notice && m.Text == note && m.Stored >= uint32(since.Unix()/60) {
			return true
		}
	}
	return false
}

// TestMachinesPutBack puts one of two, or both, back to images of the session in use and of
// those before, without their knowing, and lets them be on for an hour a day at drops, or have
// a connection, or both. Both recover in each case, and both people are told.
func TestMachinesPutBack(t *testing.T) {
	d := metAtDrops(t, 190).places()
	w := d.w
	sides := []*side{w.a, w.b}
	ages := []string{"two sessions ago", "a session ago", "of this session, before its boxes moved", "of yesterday"}
	var images []map[*side]image
	take := func() {
		images = append(images, map[*side]image{w.a: d.image(w.a), w.b: d.image(w.b)})
	}
	n := 0
	say := func(s *side) {
		if n++; n%3 == 0 {
			s.send(fmt.Sprint(s.name, " ", n))
		}
	}
	d.days(20, say)
	take() // session 1
	for w.a.c.Epoch() < 2 || w.b.c.Epoch() < 2 {
		d.days(1, say)
	}
	d.days(9, say)
	take() // session 2
	for w.a.c.Epoch() < 3 || w.b.c.Epoch() < 3 {
		d.days(1, say)
	}
	take() // session 3
	d.days(8, say)
	d.days(3, nil)
	d.same()
	take()
	d.days(1, say)
	d.days(1, nil)
	now, last := w.now, map[*side]image{w.a: d.image(w.a), w.b: d.image(w.b)}
	for at, age := range ages {
		for who, back := range map[string][]*side{"the inviter": {w.a}, "the accepter": {w.b}, "both": sides} {
			for _, way := range []string{"relays", "a connection"} {
				w.cut()
				w.now = now
				d.boxes, d.reunions = map[*side][]placed{}, map[*side][]placed{}
				for _, s := range sides {
					d.putBack(s, last[s])
				}
				for _, s := range back {
					d.putBack(s, images[at][s])
				}
				for _, s := range sides {
					s.send("since then, by " + s.name)
				}
				if way == "a connection" {
					w.connect()
					w.settle()
					w.pass(3*time.Minute, 5*time.Second)
					w.cut()
				}
				days := 0
				for ; days < 16 && !(d.together() && w.a.c.View().Paused && w.b.c.View().Paused); days++ {
					d.days(1, nil)
				}
				err := d.goOn(3)
				t.Logf("%s, %s, over %s: %d days, %v; paused %v", age, who, way, days, err == nil, w.a.saw(channel.NoteRecovered, now))
				if err != nil {
					t.Errorf("%s, %s, over %s: %v", age, who, way, err)
				}
			}
		}
	}
}
