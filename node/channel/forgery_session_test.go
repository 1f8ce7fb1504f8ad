package channel_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/node/store/storetest"
	"github.com/backchannel/backchannel/protocol/forge"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/ratchet"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A forgeryMachine is one person's machine in a real session. Nothing it draws,
// stores, sends or receives is lost: it plays the person who kept everything in
// order to show it to somebody.
type forgeryMachine struct {
	c       *channel.Conversation
	store   *storetest.Memory
	name    string // of its owner
	draws   *forgeryDraws
	peer    *forgeryMachine
	inbox   []*wire.Box
	outbox  []*wire.Box
	seen    []forgerySeen
	bodies  map[[ratchet.SealedHeaderSize]byte][wire.FrameSize]byte
	headers [][ratchet.SealedHeaderSize]byte // in the order of sealing
}

// forgerySeen is a box that was written to a connection or read from it.
type forgerySeen struct {
	fromPeer bool
	link     int
	box      *wire.Box
}

// forgeryDraws keeps every key that is drawn.
type forgeryDraws struct {
	from io.Reader
	keys [][secret.Size]byte
}

func (d *forgeryDraws) Read(b []byte) (int, error) {
	n, err := d.from.Read(b)
	if n == secret.Size && len(b) == n {
		d.keys = append(d.keys, [secret.Size]byte(b))
	}
	return n, err
}

// A forgerySession is two machines that run what nodes run.
type forgerySession struct {
	rng    *rand.Rand
	inv    identity.Invitation
	a, b   *forgeryMachine // inviter, accepter
	begin  uint32
	now    time.Time
	hellos [][2]wire.Hello // by connection: the dialler's, the listener's
}

// forgeryScript is what two people say, and when; as the inviter sees it.
type forgeryScript struct {
	begin       uint32 // the minute of the session
	lines       []forge.Line
	names       [2]string // inviter, accepter
	strict      bool
	reconnected []bool // by line: over a new connection
}

var (
	forgeryNames = []string{"Larch", "Alder desk", "Rowan", "The second secretary", "Elm", "Mlle. Épicéa", "Yew"}
	forgeryWords = []string{
		"we", "could", "live", "with", "two", "inspections", "a", "year", "if", "the", "first", "reading", "comes",
		"before", "your", "side", "drops", "annex", "three", "nothing", "is", "agreed", "until", "all", "is", "größer",
	}
)

// drawForgeryScript draws a script. Real and forged sessions draw from this one.
// Nobody writes while a line of the other's is under way.
func drawForgeryScript(rng *rand.Rand) forgeryScript {
	s := forgeryScript{begin: 29_916_000 + rng.Uint32N(500_000), strict: rng.IntN(2) == 0}
	i := rng.IntN(len(forgeryNames))
	s.names = [2]string{forgeryNames[i], forgeryNames[(i+1+rng.IntN(len(forgeryNames)-1))%len(forgeryNames)]}
	minute := s.begin
	for range 3 + rng.IntN(6) {
		length := 1 + rng.IntN(200)
		if rng.IntN(6) == 0 {
			length += rng.IntN(4000)
		}
		gap := [...]uint32{0, 0, 1, 2, 5, 90}[rng.IntN(6)] * (1 + rng.Uint32N(3))
		minute += gap
		s.lines = append(s.lines, forge.Line{FromPeer: rng.IntN(2) == 0, Minute: minute, Text: drawForgeryText(rng, length)})
		s.reconnected = append(s.reconnected, gap > 0 && rng.IntN(4) == 0)
	}
	return s
}

func drawForgeryText(rng *rand.Rand, length int) string {
	var text []byte
	for len(text) < length {
		text = append(text, forgeryWords[rng.IntN(len(forgeryWords))]...)
		text = append(text, ' ')
	}
	return string(text)
}

// linesOf turns the script to one side.
func (s forgeryScript) linesOf(side identity.Side) []forge.Line {
	lines := slices.Clone(s.lines)
	for i := range lines {
		lines[i].FromPeer = lines[i].FromPeer == (side == identity.Inviter)
	}
	return lines
}

func forgerySource(seed uint64, what byte) *rand.ChaCha8 {
	key := [32]byte{31: what}
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	return rand.NewChaCha8(key)
}

// playForgerySession plays a script on two real machines.
func playForgerySession(seed uint64, script forgeryScript) (*forgerySession, error) {
	w := &forgerySession{begin: script.begin, rng: rand.New(forgerySource(seed, 'w')), now: time.Unix(int64(script.begin)*60, 0).UTC()}
	var places [2]identity.Place
	for i := range places {
		address := fmt.Sprintf("10.%d.%d.%d:%d", w.rng.IntN(256), w.rng.IntN(256), w.rng.IntN(256), 1024+w.rng.IntN(60000))
		var err error
		if places[i], err = identity.PlaceOf(address); err != nil {
			return nil, err
		}
	}
	var err error
	if w.inv, err = identity.NewInvitation(forgerySource(seed, 'i'), places[0], w.now.Add(48*time.Hour), script.strict); err != nil {
		return nil, err
	}
	for i, m := range []**forgeryMachine{&w.a, &w.b} {
		side := []identity.Side{identity.Inviter, identity.Accepter}[i]
		*m = &forgeryMachine{
			store: storetest.NewMemory(), name: script.names[i], draws: &forgeryDraws{from: forgerySource(seed, byte(i))},
			bodies: map[[ratchet.SealedHeaderSize]byte][wire.FrameSize]byte{},
		}
		cfg := channel.Config{Random: (*m).draws, Records: (*m).store}
		intro := channel.Introduction{Number: 1, Name: script.names[1-i], Side: side, Invitation: w.inv, Place: places[i]}
		c, out, err := channel.New(cfg, channel.ContactID{byte(i)}, intro, w.now)
		if err != nil {
			return nil, err
		}
		(*m).c = c
		if err := w.do(*m, out); err != nil {
			return nil, err
		}
	}
	w.a.peer, w.b.peer = w.b, w.a
	if err := w.connect(); err != nil {
		return nil, err
	}
	if va, vb := w.a.c.View(), w.b.c.View(); !va.WordsReady || !vb.WordsReady {
		return nil, fmt.Errorf("the words are not there: %+v, %+v", va, vb)
	}
	for i, l := range script.lines {
		w.now = time.Unix(int64(l.Minute)*60, 0).UTC()
		if script.reconnected[i] {
			if err := w.connect(); err != nil {
				return nil, err
			}
		}
		by := w.a
		if l.FromPeer {
			by = w.b
		}
		_, out, err := by.c.Send(w.now, l.Text)
		if err == nil {
			err = w.do(by, out)
		}
		if err == nil {
			err = w.settle()
		}
		if err != nil {
			return nil, err
		}
	}
	return w, nil
}

// do carries out an Output: it commits, keeps the frames that were sealed, and
// puts the boxes where they leave from.
func (w *forgerySession) do(m *forgeryMachine, out *channel.Output) error {
	for {
		if err := m.store.Commit(out.Writes...); err != nil {
			return err
		}
		for _, write := range out.Writes {
			if write.Key.Kind == channel.KindSealed && !write.Delete {
				m.keep(write)
			}
		}
		m.outbox = append(m.outbox, out.Boxes...)
		if !out.More {
			return nil
		}
		out = m.c.Flush(w.now)
	}
}

// keep notes the frame of a sealed cell. Its record holds the header first, and
// at the end the frame, the message's sequence and a flag.
func (m *forgeryMachine) keep(write store.Write) {
	header := [ratchet.SealedHeaderSize]byte(write.Value)
	end := len(write.Value) - 9
	if _, known := m.bodies[header]; !known {
		m.headers = append(m.headers, header)
	}
	m.bodies[header] = [wire.FrameSize]byte(write.Value[end-wire.FrameSize : end])
}

// connect makes a new connection: the accepter dials.
func (w *forgerySession) connect() error {
	id := channel.LinkID(len(w.hellos))
	if id > 0 {
		for _, m := range []*forgeryMachine{w.a, w.b} {
			if err := w.do(m, m.c.LinkDown(w.now, id)); err != nil {
				return err
			}
			m.outbox = nil
		}
	}
	var h [2]wire.Hello
	for i := range h {
		for j := range h[i] {
			h[i][j] = byte(w.rng.Uint32())
		}
	}
	w.hellos = append(w.hellos, h)
	if err := w.do(w.a, w.a.c.LinkUp(w.now, id+1, id == 0, false, h[1], h[0])); err != nil {
		return err
	}
	if err := w.do(w.b, w.b.c.LinkUp(w.now, id+1, id == 0, true, h[0], h[1])); err != nil {
		return err
	}
	return w.settle()
}

// settle lets each machine in turn work through what has come, each answer leaving
// before the next box is looked at, until nothing moves.
func (w *forgerySession) settle() error {
	for len(w.a.inbox)+len(w.b.inbox)+len(w.a.outbox)+len(w.b.outbox) > 0 {
		for _, m := range []*forgeryMachine{w.a, w.b} {
			for len(m.inbox) > 0 {
				box := m.inbox[0]
				m.inbox = m.inbox[1:]
				m.seen = append(m.seen, forgerySeen{true, len(w.hellos) - 1, box})
				if err := w.do(m, m.c.Box(w.now, channel.LinkID(len(w.hellos)), box)); err != nil {
					return err
				}
				m.leave(len(w.hellos) - 1)
			}
			m.leave(len(w.hellos) - 1)
		}
	}
	return nil
}

func (m *forgeryMachine) leave(link int) {
	for _, box := range m.outbox {
		m.seen = append(m.seen, forgerySeen{false, link, box})
	}
	m.peer.inbox = append(m.peer.inbox, m.outbox...)
	m.outbox = nil
}

// disclose turns everything that a machine kept into a transcript.
func (w *forgerySession) disclose(m *forgeryMachine) (*forge.Transcript, error) {
	p, err := w.params(m)
	if err != nil {
		return nil, err
	}
	t := &forge.Transcript{
		Mode: p.Mode, Role: p.Role, Side: p.Side, Hour: p.Began / 60, OwnName: p.OwnName, PeerName: p.PeerName,
		Static: p.Static, OwnCard: p.OwnCard, PeerCard: p.PeerCard,
		Pair: w.inv.Pair(w.a.own(), w.b.own()),
	}
	if err := w.discloseHandshake(m, t); err != nil {
		return nil, err
	}
	session, err := forgeryHandshake(t)
	if err != nil {
		return nil, err
	}
	return t, w.discloseCells(m, t, session)
}

func (m *forgeryMachine) own() [32]byte {
	_, own := m.c.Static()
	return own
}

// params are one side's secrets as the program itself hands them to the forger.
func (w *forgerySession) params(m *forgeryMachine) (forge.Params, error) {
	return m.c.ForgeParams(m.name, w.begin, func() (secret.Key, error) { return secret.Read(m.draws.from) })
}

// incoming returns the keys of a connection's boxes, by fromPeer.
func (w *forgerySession) boxKeys(m *forgeryMachine, root secret.Key, link int) map[bool]secret.Key {
	k := wire.DeriveLinkKeys(root, w.hellos[link][0], w.hellos[link][1])
	if m == w.a { // the listener
		return map[bool]secret.Key{true: k.FromDialler, false: k.FromListener}
	}
	return map[bool]secret.Key{true: k.FromListener, false: k.FromDialler}
}

// discloseHandshake finds the three messages and the own coins behind them.
func (w *forgerySession) discloseHandshake(m *forgeryMachine, t *forge.Transcript) error {
	root := w.inv.Link().Box
	keys := w.boxKeys(m, root, 0)
	n := 0
	for _, s := range m.seen {
		c, cell, err := wire.OpenBox(keys[s.fromPeer], s.box)
		if err != nil || c.Flags != wire.FlagFlight {
			continue
		}
		f, err := handshake.ParseFlight(cell)
		if err != nil {
			return err
		}
		if f.Tag == handshake.CardTag(root) {
			continue
		}
		if n == len(t.Messages) {
			return errors.New("more than three messages")
		}
		t.Messages[n] = f.Message
		n++
	}
	if n != len(t.Messages) {
		return fmt.Errorf("%d handshake messages", n)
	}
	for _, k := range m.draws.keys {
		t.Coins = secret.New(&k)
		if _, err := forgeryHandshake(t); err == nil {
			return nil
		}
	}
	return errors.New("no coins fit the handshake")
}

// forgeryHandshake replays the handshake with the production code.
func forgeryHandshake(t *forge.Transcript) (*handshake.Session, error) {
	cfg := handshake.Config{
		Mode: t.Mode, Static: t.Static, PeerStatic: t.PeerCard.Static,
		LocalCard: t.OwnCard.Fingerprint(), PeerCard: t.PeerCard.Fingerprint(), Pair: t.Pair,
	}
	if t.Role == handshake.Initiator {
		run, m1, err := handshake.Initiate(cfg, t.Coins)
		if err != nil || *m1 != t.Messages[0] {
			return nil, errors.New("these coins did not make m1")
		}
		m3, s, err := run.Finish(&t.Messages[1])
		if err != nil || *m3 != t.Messages[2] {
			return nil, errors.New("these coins did not make m3")
		}
		return s, nil
	}
	run, m2, err := handshake.Respond(cfg, t.Coins, &t.Messages[0])
	if err != nil || *m2 != t.Messages[1] {
		return nil, errors.New("these coins did not make m2")
	}
	return run.Finish(&t.Messages[2])
}

// discloseCells opens the boxes, and finds the coins behind the own cells.
func (w *forgerySession) discloseCells(m *forgeryMachine, t *forge.Transcript, session *handshake.Session) error {
	state := ratchet.NewResponder(session)
	if t.Role == handshake.Initiator {
		state = ratchet.NewInitiator(session)
	}
	draws := m.draws.keys
	for _, s := range m.seen {
		c, cell, err := wire.OpenBox(w.boxKeys(m, session.Box, s.link)[s.fromPeer], s.box)
		if err != nil || c.Flags&wire.FlagCell == 0 {
			continue
		}
		e := forge.Entry{FromPeer: s.fromPeer, Cell: *cell}
		if s.fromPeer {
			next, body, err := state.Open(cell, t.Hour/24)
			if err != nil {
				return err
			}
			state, e.Body = next, *body
			t.Entries = append(t.Entries, e)
			continue
		}
		var known bool
		if e.Body, known = m.bodies[[ratchet.SealedHeaderSize]byte(cell[:])]; !known {
			return errors.New("a cell left that was not stored")
		}
		fits := false
		for !fits && len(draws) > 0 {
			e.Coins, draws = draws[0], draws[1:]
			next, made, _, err := state.Seal(secret.New(&e.Coins), &e.Body)
			if err == nil && *made == *cell {
				state, fits = next, true
			}
		}
		if !fits {
			return errors.New("no coins fit a cell")
		}
		t.Entries = append(t.Entries, e)
	}
	return nil
}
