package channel

import (
	"slices"
	"time"

	"github.com/backchannel/backchannel/protocol/mandate"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

const (
	heldVersion = 1
	// maxHeld bounds what is held for one contact. What is over makes room.
	maxHeld = 16
	// requestLife is how long a request is kept that makes no room before.
	requestLife = 31 * 24 * time.Hour
)

// held is what an envoy keeps: a request for mandates of one authority, or a mandate.
type held struct {
	authority mandate.PublicKey
	seed      secret.Key        // of a request: the envoy's key for the ring
	listener  mandate.PublicKey // of a request: zero until the listener's machine told it
	minute    uint32            // when it was made or imported
	mandate   *mandate.Mandate  // nil: a request
	withdrawn bool
	line      uint64 // in which it was shown last, or 0
}

func (h *held) append(b []byte) []byte {
	e := encoder{b}
	e.u8(heldVersion)
	e.fixed(h.authority[:])
	e.key(h.seed)
	e.fixed(h.listener[:])
	e.u32(h.minute)
	e.flag(h.withdrawn)
	e.u64(h.line)
	e.flag(h.mandate != nil)
	if h.mandate != nil {
		e.fixed(h.mandate.Append(nil))
	}
	return e.b
}

func parseHeld(b []byte) (*held, error) {
	d := decoder{b: b}
	if err := d.version(heldVersion); err != nil {
		return nil, err
	}
	h := &held{}
	copy(h.authority[:], d.fixed(mandate.KeySize))
	h.seed = d.key()
	copy(h.listener[:], d.fixed(mandate.KeySize))
	h.minute, h.withdrawn, h.line = d.u32(), d.flag(), d.u64()
	if d.flag() {
		m, err := mandate.Parse(d.fixed(mandate.Size))
		d.bad = d.bad || err != nil
		h.mandate = &m
	}
	if h.mandate == nil && h.seed.IsZero() {
		return nil, ErrRecord
	}
	return h, d.end()
}

func (v *Conversation) loadHeld() error {
	for r, err := range v.cfg.Records.Scan(KindMandate, v.id) {
		if err != nil {
			return err
		}
		if v.c.stage == Leaving {
			v.stale = append(v.stale, r.Key)
			continue
		}
		if v.held[r.Key.Seq], err = parseHeld(r.Value); err != nil {
			return err
		}
	}
	return nil
}

func (v *Conversation) saveHeld(n uint64) { v.put(KindMandate, n, v.held[n].append(nil)) }

func (v *Conversation) dropHeld(n uint64) {
	v.held[n].seed.Wipe()
	delete(v.held, n)
	v.drop(KindMandate, n)
}

// hold gives what an envoy is to keep a number. When there is too much, one that is
// over makes room.
func (v *Conversation) hold(h *held) (uint64, error) {
	if len(v.held) >= maxHeld {
		over := slices.IndexFunc(v.heldNumbers(), func(n uint64) bool { return v.held[n].over(v.now) })
		if over < 0 {
			return 0, ErrManyMandates
		}
		v.dropHeld(v.heldNumbers()[over])
	}
	n := uint64(1)
	for used := range v.held {
		n = max(n, used+1)
	}
	h.minute = minute(v.now)
	v.held[n] = h
	v.saveHeld(n)
	return n, nil
}

// over reports whether a mandate is of no more use, or a request of little.
func (h *held) over(now time.Time) bool {
	if h.mandate == nil {
		return now.Sub(fromMinute(h.minute)) >= requestLife
	}
	return h.withdrawn || !now.Before(h.mandate.NotAfter)
}

func (v *Conversation) heldNumbers() []uint64 {
	numbers := make([]uint64, 0, len(v.held))
	for n := range v.held {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return numbers
}

// request finds the request for mandates of an authority.
func (v *Conversation) request(authority mandate.PublicKey) (uint64, *held) {
	for n, h := range v.held {
		if h.mandate == nil && h.authority == authority {
			return n, h
		}
	}
	return 0, nil
}

// RequestMandate makes a request for mandates of an authority, to be taken to it.
// The listener's key for that authority comes from the listener's machine: until it
// has come there is no request but an Output, and the same call, later, returns it.
func (v *Conversation) RequestMandate(now time.Time, authority mandate.PublicKey) ([]byte, *Output, error) {
	switch {
	case v.c.stage != Met:
		return nil, nil, ErrNoSession
	case v.suspect():
		return nil, nil, ErrUsedTwice
	}
	v.begin(now)
	_, h := v.request(authority)
	if h == nil {
		h = &held{authority: authority, seed: v.draw()}
		if _, err := v.hold(h); err != nil {
			v.end()
			return nil, nil, err
		}
	}
	if h.listener == (mandate.PublicKey{}) {
		if !v.asking(mandateAsk, authority) {
			v.say(MandateCraft, append([]byte{mandateAsk}, authority[:]...))
		}
		return nil, v.finish(), nil
	}
	envoy := mandate.NewPrivate(h.seed)
	defer envoy.Wipe()
	file, err := v.terms(h, envoy).Seal(envoy)
	return file, v.finish(), err
}

// terms is the request that an envoy's record stands for.
func (v *Conversation) terms(h *held, envoy *mandate.Private) mandate.Request {
	return mandate.Request{
		Authority: h.authority, Envoy: envoy.Public(), Listener: h.listener,
		EnvoyCard: v.c.ownCard.Fingerprint(), ListenerCard: v.c.peerCard.Fingerprint(),
	}
}

// asking reports whether a line of this side about an authority is on its way.
func (v *Conversation) asking(what byte, authority mandate.PublicKey) bool {
	return slices.ContainsFunc(v.messages, func(m Message) bool {
		return m.Craft == MandateCraft && m.under() && m.Text[0] == what && m.Text[1:1+mandate.KeySize] == string(authority[:])
	})
}

// Fits reports whether a mandate was made for this contact, by the cards it names.
func (v *Conversation) Fits(m mandate.Mandate) bool {
	return v.c.hasPeer && m.EnvoyCard == v.c.ownCard.Fingerprint() && m.ListenerCard == v.c.peerCard.Fingerprint()
}

// ImportMandate takes what an authority made for a request of this machine, after
// the envoy's check. The ring is not kept. A mandate that is held already is returned.
func (v *Conversation) ImportMandate(now time.Time, g mandate.Grant) (MandateView, *Output, error) {
	_, h := v.request(g.Mandate.Authority)
	if h == nil || h.listener != g.Mandate.Listener {
		return MandateView{}, nil, ErrNoRequest
	}
	envoy := mandate.NewPrivate(h.seed)
	defer envoy.Wipe()
	if err := g.Check(envoy, v.terms(h, envoy), now); err != nil {
		return MandateView{}, nil, err
	}
	v.begin(now)
	n, known := v.heldAs(g.Mandate)
	if !known {
		var err error
		if n, err = v.hold(&held{authority: h.authority, listener: h.listener, mandate: &g.Mandate}); err != nil {
			v.end()
			return MandateView{}, nil, err
		}
	}
	out := v.finish()
	return v.heldView(n), out, nil
}

func (v *Conversation) heldAs(m mandate.Mandate) (uint64, bool) {
	for n, h := range v.held {
		if h.mandate != nil && *h.mandate == m {
			return n, true
		}
	}
	return 0, false
}

// ShowMandate shows a mandate that this person holds to the contact; 0 stands for
// the latest one. One that is still on its way is not shown twice.
func (v *Conversation) ShowMandate(now time.Time, n uint64) (MandateView, *Output, error) {
	v.now = now
	if n == 0 {
		n = v.latestHeld()
	}
	h := v.held[n]
	switch {
	case h == nil || h.mandate == nil:
		return MandateView{}, nil, ErrNoMandate
	case h.over(now):
		return MandateView{}, nil, ErrMandateOver
	case v.suspect():
		return MandateView{}, nil, ErrUsedTwice
	}
	v.begin(now)
	if i, ok := v.find(h.line); !ok || !v.messages[i].under() {
		h.line = v.say(MandateCraft, h.mandate.Append([]byte{mandateShown})).Seq
		v.saveHeld(n)
	}
	out := v.finish()
	return v.heldView(n), out, nil
}

func (v *Conversation) latestHeld() uint64 {
	numbers := v.heldNumbers()
	for _, n := range slices.Backward(numbers) {
		if h := v.held[n]; h.mandate != nil && !h.over(v.now) {
			return n
		}
	}
	return 0
}

// keyCame takes the listener's key for an authority, if it was asked for.
func (v *Conversation) keyCame(f wire.Frame, content string) {
	authority, err := mandate.ParseKey([]byte(content[1 : 1+mandate.KeySize]))
	key, err2 := mandate.ParseKey([]byte(content[1+mandate.KeySize:]))
	n, h := v.request(authority)
	if err != nil || err2 != nil || h == nil || key == authority {
		return
	}
	if h.listener == (mandate.PublicKey{}) { // it is one for ever: mandates are made for it
		h.listener = key
		v.saveHeld(n)
	}
	v.craftCame(MandateCraft, f, content)
}

// PassWithdrawal hands a withdrawal of a mandate that this person holds on to the
// listener. Only the listener's machine can check it.
func (v *Conversation) PassWithdrawal(now time.Time, b []byte) (MandateView, *Output, error) {
	for n, h := range v.held {
		if h.mandate == nil || !mandate.Concerns(b, *h.mandate) {
			continue
		}
		v.begin(now)
		if !h.withdrawn {
			h.withdrawn = true
			v.saveHeld(n)
			v.say(MandateCraft, append([]byte{mandateOver}, b...))
		}
		out := v.finish()
		return v.heldView(n), out, nil
	}
	return MandateView{}, nil, ErrNotWithdrawal
}

func (v *Conversation) heldViews() (views []MandateView) {
	for _, n := range v.heldNumbers() {
		views = append(views, v.heldView(n))
	}
	return views
}

func (v *Conversation) heldView(n uint64) MandateView {
	h := v.held[n]
	w := MandateView{Number: n, Held: true, Authority: h.authority, When: fromMinute(h.minute), State: MandateHeld}
	if m := h.mandate; m != nil {
		w.Scope, w.Until = m.Scope, m.NotAfter
	}
	if i, ok := v.find(h.line); ok {
		w.State, w.Delivery = MandateOut, v.shown(v.messages[i]).State
	}
	switch {
	case h.withdrawn:
		w.State = MandateWithdrawn
	case h.mandate != nil && h.over(v.now):
		w.State = MandateEnded
	case h.mandate == nil && h.listener == (mandate.PublicKey{}):
		w.State = MandateAsked
	case h.mandate == nil:
		w.State = MandateWanted
	}
	return w
}
