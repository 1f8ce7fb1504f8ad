package charter_test

import (
	"math/rand/v2"
	"testing"

	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/prototest"
)

// party is one side with its person, and what is on its way to the other side.
type party struct {
	c       *charter.Charter
	said    map[charter.Digest]bool // texts that this person proposed or accepted
	outbox  [][]byte
	secret  bool // a secret text was agreed
	longest uint8
	closed  uint32 // the deadline when this side closed; 0: it did not
}

func (p *party) send(m []byte, err error) {
	if err == nil {
		p.outbox = append(p.outbox, m)
	}
}

// act does something that a person may do, or lets the machine start anew.
func (p *party) act(t *testing.T, rng *rand.Rand) {
	switch rng.IntN(12) {
	case 0, 1, 2:
		next := terms()
		next.Deadline += uint32(rng.IntN(9)) * day
		next.Kind = charter.Kind(1 + rng.IntN(2))
		m, err := p.c.Amend(next, now)
		if err == nil {
			p.said[charter.Proposed(m).Digest()] = true
		}
		p.send(m, err)
	case 3, 4, 5:
		if d := p.c.Pending(); d != nil {
			p.said[d.Digest()] = true
			p.send(p.c.Accept(d.Digest(), now))
		}
	case 6:
		if d := p.c.Pending(); d != nil && rng.IntN(3) == 0 {
			p.send(p.c.Decline(d.Digest()))
		}
	case 7:
		p.send(p.c.Withdraw())
	case 8:
		if rng.IntN(20) == 0 {
			p.send(p.c.Close())
			if own, _ := p.c.ClosedBy(); own && p.closed == 0 {
				p.closed = p.c.Deadline()
			}
		}
	case 9:
		p.outbox = append(p.outbox, p.c.Standing()...)
	default:
		p.c = reload(t, p.c)
	}
}

// take lets the oldest message under way arrive.
func (p *party) take(t *testing.T, from *party) {
	m := from.outbox[0]
	from.outbox = from.outbox[1:]
	before := p.c.Append(nil)
	r, err := p.c.Receive(m, now)
	if err != nil && string(before) != string(p.c.Append(nil)) {
		t.Fatal("an error changed the charter")
	}
	if r.Reply != nil {
		p.outbox = append(p.outbox, r.Reply)
	}
}

// holds checks what must be so at every moment.
func (p *party) holds(t *testing.T, other *party) {
	d := p.c.Agreed()
	if d == nil {
		return
	}
	if !p.said[d.Digest()] || !other.said[d.Digest()] {
		t.Fatal("a text is agreed that one person never accepted")
	}
	if p.closed != 0 && p.c.Deadline() > p.closed {
		t.Fatal("a deadline moves on after the close")
	}
	if p.secret && d.Kind != charter.Secret {
		t.Fatal("a secret channel became publishable")
	}
	p.secret = p.secret || d.Kind == charter.Secret
	if d.Extensions < p.longest {
		t.Fatal("extensions are forgotten")
	}
	p.longest = d.Extensions
}

func digest(d *charter.Draft) charter.Digest {
	if d == nil {
		return charter.Digest{}
	}
	return d.Digest()
}

func play(t *testing.T, seed byte, steps int, lossy bool) (phase charter.Phase) {
	rng := rand.New(prototest.Reader(seed))
	ca, cb := begin(t, terms())
	first := map[charter.Digest]bool{cb.Pending().Digest(): true}
	a, b := &party{c: ca, said: first}, &party{c: cb, said: map[charter.Digest]bool{}}
	if rng.IntN(2) == 0 { // the accepter opens
		var err error
		b.c, err = charter.Propose(identity.Accepter, 3, terms(), now)
		check(t, err)
		a.c, err = charter.Receive(identity.Inviter, b.c.Standing()[0], now)
		check(t, err)
		a.said, b.said = map[charter.Digest]bool{}, map[charter.Digest]bool{digest(a.c.Pending()): true}
	}
	for range steps {
		p, q := a, b
		if rng.IntN(2) == 0 {
			p, q = b, a
		}
		if len(q.outbox) > 0 && rng.IntN(2) == 0 {
			if lossy && rng.IntN(5) == 0 {
				q.outbox = q.outbox[1:]
			} else {
				p.take(t, q)
			}
		} else {
			p.act(t, rng)
		}
		a.holds(t, b)
		b.holds(t, a)
	}
	for range 3 { // all arrives, and each side says again what it stands by
		for len(a.outbox)+len(b.outbox) > 0 {
			if len(a.outbox) > 0 {
				b.take(t, a)
			}
			if len(b.outbox) > 0 {
				a.take(t, b)
			}
		}
		if lossy {
			a.outbox, b.outbox = a.c.Standing(), b.c.Standing()
		}
	}
	a.holds(t, b)
	b.holds(t, a)
	pa, pb := a.c.Phase(), b.c.Phase()
	if pa != pb || digest(a.c.Agreed()) != digest(b.c.Agreed()) || a.closed+b.closed == 0 && a.c.Deadline() != b.c.Deadline() && a.c.Agreed() != nil {
		t.Fatalf("seed %d: %v and %v, agreed %v", seed, pa, pb, digest(a.c.Agreed()) == digest(b.c.Agreed()))
	}
	ownA, _ := a.c.Own()
	ownB, _ := b.c.Own()
	if pa != charter.Closed && (digest(ownA) != digest(b.c.Pending()) || digest(ownB) != digest(a.c.Pending())) {
		t.Fatalf("seed %d: a draft waits on one side only (%v, %v, %v, %v)", seed, ownA, b.c.Pending(), ownB, a.c.Pending())
	}
	return pa
}

// TestBothEndAlike plays random negotiations, with restarts and things said again
// at any moment, and wants both sides to end with the same text.
func TestBothEndAlike(t *testing.T) {
	ends := map[charter.Phase]int{}
	for seed := range 250 {
		ends[play(t, byte(seed), 30+seed, false)]++
	}
	if ends[charter.Open] < 50 || ends[charter.Closed] < 10 || ends[charter.Declined] < 10 {
		t.Errorf("the games do not go everywhere: %v", ends)
	}
}

// TestLostMessages loses one in five, and lets both say again at the end what
// they stand by.
func TestLostMessages(t *testing.T) {
	for seed := range 250 {
		play(t, byte(seed), 30+seed, true)
	}
}
