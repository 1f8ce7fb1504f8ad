package channel_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store/storetest"
	"github.com/backchannel/backchannel/protocol/wire"
)

// Lengths of the record of a sealed cell (docs/spec/session.md, Stored records).
const (
	nonceLength  = 24
	headerLength = 2352
	keyLength    = 1 + 32
)

// sealings holds what was sealed under which key and nonce, over all the lives of
// two machines.
type sealings struct {
	t      *testing.T
	bodies map[string]string   // by key and nonce
	nonces map[string][]string // by key
}

// record reads the cells that a store holds. It is called for every box that
// leaves: a cell is stored before it leaves, and until it is acknowledged.
func (x *sealings) record(s *side) {
	for r, err := range s.store.Scan(channel.KindSealed, s.id) {
		if err != nil {
			x.t.Fatal(err)
		}
		nonce := string(r.Value[:nonceLength])
		key := string(r.Value[headerLength : headerLength+keyLength])
		body := string(r.Value[headerLength+keyLength:][:wire.FrameSize])
		before, known := x.bodies[key+nonce]
		if known && before != body {
			x.t.Fatalf("%s: one key and nonce seal two texts", s.name)
		}
		if !known {
			x.bodies[key+nonce] = body
			x.nonces[key] = append(x.nonces[key], nonce)
		}
	}
}

// TestNoKeyAndNonceTwice puts both machines back to old states again and again,
// in the midst of talk over a network that loses boxes, and looks at everything
// that they ever seal. Message keys are used twice where a text left and came
// nowhere before the machine was put back; their nonces differ.
func TestNoKeyAndNonceTwice(t *testing.T) {
	t.Parallel()
	scripts := byte(3)
	switch {
	case *long:
		scripts = 6
	case testing.Short():
		scripts = 2
	}
	x := &sealings{t: t, bodies: map[string]string{}, nonces: map[string][]string{}}
	puts := 0
	for seed := range scripts {
		w := newWorld(t, 60+seed)
		lossy := false
		w.mangle = func(b *wire.Box) []*wire.Box {
			x.record(w.a)
			x.record(w.b)
			if lossy && w.rng.IntN(3) > 0 {
				return nil
			}
			return []*wire.Box{b}
		}
		w.meet()
		for i := range 40 {
			s := w.a
			if w.rng.IntN(2) == 0 {
				s = w.b
			}
			old := []*storetest.Memory{s.store.Copy()}
			lossy = w.rng.IntN(2) == 0
			for j := range 1 + w.rng.IntN(6) {
				s.send(fmt.Sprint(s.name, i, j))
				s.peer.send(fmt.Sprint(s.peer.name, i, j))
				for range w.rng.IntN(4) {
					w.step()
				}
				old = append(old, s.store.Copy())
			}
			if w.rng.IntN(3) == 0 { // the store found it out by itself
				copied := old[w.rng.IntN(len(old))]
				s.putBack(copied)
				s.do(s.c.RolledBack(w.now))
			} else {
				s.putBack(old[w.rng.IntN(len(old))])
			}
			puts++
			s.send(fmt.Sprint(s.name, "in its next life", i))
			w.connect()
			for range w.rng.IntN(30) {
				w.step()
			}
			lossy = false
			w.settle()
			w.pass(5*time.Second, time.Second)
			for _, p := range []*side{w.a, w.b} {
				if p.c.View().Paused && !p.c.View().OwnConsent {
					out, err := p.c.Consent(w.now)
					if err != nil {
						t.Fatal(err)
					}
					p.do(out)
				}
			}
			w.settle()
			w.now = w.now.Add(40 * time.Minute) // recoveries of a day are bounded
		}
	}
	twice := 0
	for _, nonces := range x.nonces {
		if len(nonces) > 1 {
			twice++
		}
	}
	t.Logf("%d times put back, %d cells, %d keys used for more than one", puts, len(x.bodies), twice)
	if len(x.bodies) < 1000 || twice == 0 {
		t.Error("the scripts did not come to what the test is about")
	}
}
