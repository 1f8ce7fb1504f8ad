package channel_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
)

// changeSession changes the stored session of a machine that is off.
func (s *side) changeSession(change func(record []byte)) {
	s.w.t.Helper()
	found := 0
	for r, err := range s.store.Scan(channel.KindSession, s.id) {
		if err != nil {
			s.w.t.Fatal(err)
		}
		value := slices.Clone(r.Value)
		change(value)
		if err := s.store.Commit(store.Write{Key: r.Key, Value: value}); err != nil {
			s.w.t.Fatal(err)
		}
		found++
	}
	if found != 1 {
		s.w.t.Fatalf("%d sessions are stored", found)
	}
	s.restart()
}

// Places in the record of a session (docs/spec/session.md, Stored records).
const (
	sentAt     = 1 + 4 + keyLength + 1 + 4 + 1 + 1
	receivedAt = sentAt + 8
	chainAt    = 14 // from the end: how many cells the sending chain has sealed
)

// TestCountersEnd brings the two counters of a session to their end: the numbers of
// cells, and the place in a chain. Neither begins again at zero: the session ends, a
// new one is made, of which both people are told, and no text is lost.
func TestCountersEnd(t *testing.T) {
	put := binary.BigEndian.PutUint32
	for what, change := range map[string]func(w *world){
		"the numbers of cells": func(w *world) {
			w.a.changeSession(func(b []byte) {
				put(b[sentAt:], math.MaxUint32-2)
				put(b[sentAt+4:], math.MaxUint32-2) // acknowledged
			})
			w.b.changeSession(func(b []byte) { put(b[receivedAt:], math.MaxUint32-2) })
		},
		"a chain": func(w *world) {
			w.a.changeSession(func(b []byte) { put(b[len(b)-chainAt:], math.MaxUint32-1) })
		},
	} {
		w := newWorld(t, 112)
		w.meet()
		w.b.send("so that the chain is a's")
		w.settle()
		w.a.send("before")
		w.settle()
		w.pass(2*time.Second, time.Second)
		w.a.restart()
		w.b.restart()
		change(w)
		w.reconnect(2 * time.Second)
		for i := range 4 {
			w.a.send(fmt.Sprint("at the end ", i))
			w.settle()
		}
		w.pass(time.Minute, time.Second)
		if !w.paused() || w.a.c.Epoch() != 2 {
			t.Errorf("%s: session %d goes on", what, w.a.c.Epoch())
			continue
		}
		waiting := 0
		for _, m := range w.a.c.Transcript(0) {
			if m.Direction == channel.Out && m.State == channel.Waiting {
				waiting++
			}
		}
		if waiting < 3 {
			t.Errorf("%s: %d texts are said to wait here", what, waiting)
		}
		w.consent()
		w.pass(5*time.Second, time.Second)
		w.checkAll()
	}
}

// TestADayAndANight keeps two machines connected for a day, with a new connection
// every half hour and a text every hour: what they keep is the texts and no more, and
// the owner is woken no more often at its end than at its beginning.
func TestADayAndANight(t *testing.T) {
	w := newWorld(t, 118)
	w.meet()
	records := func() (n, size int) {
		for _, s := range []*side{w.a, w.b} {
			for kind := store.Kind(1); kind < 32; kind++ {
				for r, err := range s.store.Scan(kind, s.id) {
					if err != nil {
						t.Fatal(err)
					}
					n, size = n+1, size+len(r.Value)
				}
			}
		}
		return n, size
	}
	hour := func(i int) (woken int) {
		w.a.send(fmt.Sprintf("hour %4d", i))
		for half := range 2 {
			if half > 0 {
				w.connect()
				w.settle()
			}
			for end := w.now.Add(30 * time.Minute); w.now.Before(end); woken++ {
				next := w.a.c.Next(w.now)
				if n := w.b.c.Next(w.now); n.Before(next) {
					next = n
				}
				w.now = next
				for _, s := range []*side{w.a, w.b} {
					s.do(s.c.Tick(w.now))
				}
				w.settle()
			}
		}
		return woken
	}
	hour(0)
	wokenFirst := hour(1)
	n, size := records()
	wokenLast := 0
	for i := 2; i < 24; i++ {
		wokenLast = hour(i)
	}
	after, sizeAfter := records()
	perText := (after - n) / 22
	t.Logf("%d records of %d bytes after 2 hours, %d of %d after 24; woken %d times in an hour, then %d", n, size, after, sizeAfter, wokenFirst, wokenLast)
	if perText > 4 || (after-n)%22 != 0 || sizeAfter-size > 22*200 {
		t.Error("more is kept than the texts")
	}
	if wokenLast > wokenFirst+10 || wokenFirst > 1000 {
		t.Error("it is woken more and more often")
	}
	w.checkAll()
}
