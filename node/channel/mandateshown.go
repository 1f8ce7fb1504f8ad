package channel

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/mandate"
	"github.com/backchannel/backchannel/protocol/secret"
)

const (
	listenerVersion = 1
	// maxCompared and maxWithdrawn bound what is remembered; the oldest comparison
	// goes, and see lessNeeded.
	maxCompared  = 64
	maxWithdrawn = 64
	// maxAnswers bounds for how many questions of one contact a key is told.
	maxAnswers = 32
)

// listener is what a person is to the authorities whose mandates he is shown: one
// root for all contacts, so that a dossier is recognised.
type listener struct {
	root      secret.Key
	compared  map[mandate.PublicKey]uint32 // minute in which the words were compared
	withdrawn []mandate.Withdrawal         // checked, and not over yet
}

func (l *listener) append(b []byte) []byte {
	e := encoder{b}
	e.u8(listenerVersion)
	e.key(l.root)
	e.u32(uint32(len(l.compared)))
	byKey := func(a, b mandate.PublicKey) int { return bytes.Compare(a[:], b[:]) }
	for _, k := range slices.SortedFunc(maps.Keys(l.compared), byKey) {
		e.fixed(k[:])
		e.u32(l.compared[k])
	}
	e.u32(uint32(len(l.withdrawn)))
	for _, w := range l.withdrawn {
		e.fixed(w.Authority[:])
		e.fixed(w.Listener[:])
		e.fixed(w.Serial[:])
		e.u32(minute(w.NotAfter))
	}
	return e.b
}

func parseListener(b []byte) (*listener, error) {
	d := decoder{b: b}
	if err := d.version(listenerVersion); err != nil {
		return nil, err
	}
	l := &listener{root: d.key(), compared: map[mandate.PublicKey]uint32{}}
	for n := d.u32(); n > 0 && !d.bad; n-- {
		l.compared[mandate.PublicKey(d.fixed(mandate.KeySize))] = d.u32()
	}
	for n := d.u32(); n > 0 && !d.bad; n-- {
		l.withdrawn = append(l.withdrawn, mandate.Withdrawal{
			Authority: mandate.PublicKey(d.fixed(mandate.KeySize)), Listener: mandate.PublicKey(d.fixed(mandate.KeySize)),
			Serial: mandate.Serial(d.fixed(16)), NotAfter: fromMinute(d.u32()),
		})
	}
	if l.root.IsZero() {
		return nil, ErrRecord
	}
	return l, d.end()
}

var listenerKey = store.Key{Kind: KindListener}

// asListener reads what this person is as a listener. Nil: nobody has asked yet, or
// the record cannot be read.
func (v *Conversation) asListener() *listener {
	if v.listener != nil {
		return v.listener
	}
	raw, err := v.cfg.Records.Get(listenerKey)
	if err != nil {
		return nil
	}
	if l, err := parseListener(raw); err == nil {
		v.listener = l
	}
	return v.listener
}

// becomeListener is asListener for who is asked for the first time.
func (v *Conversation) becomeListener() *listener {
	if l := v.asListener(); l != nil {
		return l
	}
	if _, err := v.cfg.Records.Get(listenerKey); !errors.Is(err, store.ErrNotFound) {
		return nil // there is one, and it cannot be read: no other is put in its place
	}
	v.listener = &listener{root: v.draw(), compared: map[mandate.PublicKey]uint32{}}
	v.saveListener()
	return v.listener
}

func (v *Conversation) saveListener() { v.putAt(listenerKey, v.listener.append(nil)) }

// private is this listener's key for an authority.
func (l *listener) private(authority mandate.PublicKey) *mandate.Private {
	seed := mandate.ListenerSeed(l.root, authority)
	defer seed.Wipe()
	return mandate.NewPrivate(seed)
}

// answerKey tells an envoy this side's key for an authority. It is no secret, and
// gives away that this listener meets mandates of that authority through one key.
func (v *Conversation) answerKey(authority mandate.PublicKey) {
	answers := 0
	for _, m := range v.messages {
		if m.Craft == MandateCraft && m.Direction == Out && m.Text[0] == mandateKey {
			answers++
		}
	}
	if answers >= maxAnswers || v.asking(mandateKey, authority) {
		return
	}
	l := v.becomeListener()
	if l == nil {
		return
	}
	own := l.private(authority)
	defer own.Wipe()
	key := own.Public()
	v.say(MandateCraft, slices.Concat([]byte{mandateKey}, authority[:], key[:]))
}

// withdrawn takes a withdrawal that came by whatever path, if it checks. It is kept
// until its mandate would have ended, also when that was never shown.
func (v *Conversation) withdrawn(b []byte) bool {
	l := v.asListener()
	if l == nil || len(b) != mandate.WithdrawalSize {
		return false
	}
	authority, err := mandate.ParseKey(b[1 : 1+mandate.KeySize])
	if err != nil {
		return false
	}
	own := l.private(authority)
	defer own.Wipe()
	w, err := mandate.OpenWithdrawal(own, b)
	if err != nil {
		return false
	}
	if slices.Contains(l.withdrawn, w) {
		return true
	}
	l.withdrawn = append(slices.DeleteFunc(l.withdrawn, func(w mandate.Withdrawal) bool { return !v.now.Before(w.NotAfter) }), w)
	slices.SortFunc(l.withdrawn, l.lessNeeded)
	l.withdrawn = l.withdrawn[max(0, len(l.withdrawn)-maxWithdrawn):]
	v.saveListener()
	return true
}

// lessNeeded orders withdrawals by which of them can go first: anybody can call
// himself an authority and withdraw without end, so those of authorities whose keys
// were compared stay.
func (l *listener) lessNeeded(a, b mandate.Withdrawal) int {
	_, inA := l.compared[a.Authority]
	_, inB := l.compared[b.Authority]
	switch {
	case inA && !inB:
		return 1
	case inB && !inA:
		return -1
	default:
		return a.NotAfter.Compare(b.NotAfter)
	}
}

// TakeWithdrawal takes a withdrawal of a mandate that was made for this listener,
// whoever brought it. It may be called on any contact.
func (v *Conversation) TakeWithdrawal(now time.Time, b []byte) (*Output, error) {
	v.begin(now)
	if !v.withdrawn(b) {
		v.end()
		return nil, ErrNotWithdrawal
	}
	return v.end(), nil
}

// CompareAuthority compares what a person typed with the words of the authority of
// a mandate that was shown here. If all fit, all mandates of that authority are from
// one whose key was compared.
func (v *Conversation) CompareAuthority(now time.Time, seq uint64, typed [mandate.WordCount]string) (fit [mandate.WordCount]bool, out *Output, err error) {
	view, err := v.Mandate(now, seq)
	if err != nil {
		return fit, nil, err
	}
	fit, all := view.Authority.MatchWords(typed)
	v.begin(now)
	if l := v.becomeListener(); all && l != nil {
		l.compare(view.Authority, minute(now))
		v.saveListener()
	}
	return fit, v.end(), nil
}

func (l *listener) compare(authority mandate.PublicKey, now uint32) {
	if _, known := l.compared[authority]; !known && len(l.compared) >= maxCompared {
		oldest := authority
		for k, at := range l.compared {
			if other, ok := l.compared[oldest]; !ok || at < other {
				oldest = k
			}
		}
		delete(l.compared, oldest)
	}
	l.compared[authority] = now
}

// shownView checks a mandate that was shown here, by the code that everybody has.
func (v *Conversation) shownView(line Message) (MandateView, bool) {
	if line.Craft != MandateCraft || line.Direction != In || line.Text[0] != mandateShown {
		return MandateView{}, false
	}
	m, err := mandate.Parse([]byte(line.Text[1:]))
	if err != nil {
		return MandateView{}, false
	}
	w := MandateView{
		Number: line.Seq, Authority: m.Authority, Scope: m.Scope, Until: m.NotAfter, When: line.Written(), State: MandateRefused,
	}
	l := v.asListener()
	if l == nil {
		return w, true
	}
	if at, ok := l.compared[m.Authority]; ok {
		w.Compared = fromMinute(at)
	}
	own := l.private(m.Authority)
	defer own.Wipe()
	w.Dossier, err = m.Verify(own, v.c.peerCard.Fingerprint(), v.c.ownCard.Fingerprint(), v.now)
	switch {
	case errors.Is(err, mandate.ErrExpired):
		w.State = MandateEnded
	case err != nil:
	case slices.ContainsFunc(l.withdrawn, func(o mandate.Withdrawal) bool { return o.Of(m) }):
		w.State, w.Dossier = MandateWithdrawn, mandate.Dossier{}
	default:
		w.State = MandateValid
	}
	return w, true
}
