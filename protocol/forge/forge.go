package forge

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/ratchet"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// Params are the secrets of one side, and the circumstances of the talk. Of the
// other side only the card is known, which holds nothing secret.
type Params struct {
	Mode              handshake.Mode
	Role              handshake.Role
	Side              identity.Side
	Began             uint32 // minutes since 1970, when the session is to have begun
	OwnName, PeerName string
	Static            secret.Key
	OwnCard, PeerCard identity.Card
	Pair              secret.Key
}

// ErrScript is returned for a script that no conversation could have been.
var ErrScript = errors.New("the lines are empty, too long, too many, or of times that cannot be in one session")

// Invent makes up the params of two people who never met, for a forgery that
// needs no vault.
func Invent(random io.Reader, ownName, peerName string, began uint32) (Params, error) {
	var keys [3]secret.Key
	var statics [2][32]byte
	for i := range keys {
		var err error
		if keys[i], err = secret.Read(random); err != nil {
			return Params{}, err
		}
	}
	for i := range statics {
		var err error
		if statics[i], err = handshake.PublicKey(keys[i].Bytes()); err != nil {
			return Params{}, err
		}
	}
	return Params{
		Mode: handshake.Mutual, Role: handshake.Initiator, Side: identity.Inviter, Began: began,
		OwnName: ownName, PeerName: peerName, Static: keys[0], Pair: keys[2],
		OwnCard: identity.Card{Static: statics[0]}, PeerCard: identity.Card{Static: statics[1]},
	}, nil
}

// Forge makes a transcript in which the two sides say the given lines. The
// handshake and the ratchet are run at both ends by the code that nodes run; the
// peer's static private key is never needed.
func Forge(p Params, lines []Line, random io.Reader) (*Transcript, error) {
	t := &Transcript{
		Mode: p.Mode, Role: p.Role, Side: p.Side, Hour: p.Began / 60, OwnName: p.OwnName, PeerName: p.PeerName,
		Static: p.Static, OwnCard: p.OwnCard, PeerCard: p.PeerCard, Pair: p.Pair,
	}
	w := &workshop{t: t, random: random, minute: p.Began}
	if len(p.OwnName) > maxName || len(p.PeerName) > maxName {
		return nil, ErrScript
	}
	if err := w.shake(); err != nil {
		return nil, err
	}
	if err := w.exchangeWords(); err != nil {
		return nil, err
	}
	last := 0 // cells of the line before that may be under way still
	for _, l := range lines {
		if !plausible(t.Hour, l.Minute) || len(l.Text) > wire.MaxText || len(l.Text) == 0 {
			return nil, ErrScript
		}
		if !l.Crossed {
			last = 0
		}
		if err := w.settle(last); err != nil {
			return nil, err
		}
		w.minute = l.Minute
		if l.Kind != 0 && !isPact(l.Kind) {
			return nil, ErrScript
		}
		kind, channel := l.place()
		if err := w.seal(l.FromPeer, kind, channel, []byte(l.Text)); err != nil {
			return nil, err
		}
		last = len(w.flying) - last
	}
	return t, w.settle(0)
}

// settle lets cells arrive until only so many are under way.
func (w *workshop) settle(left int) error {
	for len(w.flying) > left {
		if err := w.arrive(); err != nil {
			return err
		}
	}
	return nil
}

// workshop holds both ends of the session that is being made up.
type workshop struct {
	t         *Transcript
	random    io.Reader
	minute    uint32
	binding   [32]byte
	own, peer *ratchet.State
	sent      [2]uint32 // frames, by fromPeer
	flying    []Entry   // cells that have left one end and not reached the other
}

func (w *workshop) draw() (secret.Key, error) { return secret.Read(w.random) }

// shake runs the production handshake between the discloser and an invented
// peer. The peer's half never uses its static private key as a number: each
// Diffie-Hellman with it has another private key that is known here.
func (w *workshop) shake() error {
	own := w.t.config()
	coins, err := w.draw()
	if err != nil {
		return err
	}
	theirs, err := w.draw()
	if err != nil {
		return err
	}
	w.t.Coins = coins
	nobody := secret.New(&[secret.Size]byte{0: 0xff}) // stands for a key that nobody here has
	known := []secret.Key{w.t.Static, handshake.Ephemeral(coins)}
	peer := handshake.Config{
		Mode: own.Mode, Static: nobody, StaticPublic: w.t.PeerCard.Static, PeerStatic: w.t.OwnCard.Static,
		LocalCard: own.PeerCard, PeerCard: own.LocalCard, Pair: own.Pair,
		Exchange: func(private, public []byte) ([]byte, error) {
			if !bytes.Equal(private, nobody.Bytes()) {
				return handshake.Exchange(private, public)
			}
			for _, k := range known {
				if pub, err := handshake.PublicKey(k.Bytes()); err == nil && bytes.Equal(pub[:], public) {
					return handshake.Exchange(k.Bytes(), w.t.PeerCard.Static[:])
				}
			}
			return nil, handshake.ErrHandshake
		},
	}
	initiator, responder, first, second := own, peer, coins, theirs
	if w.t.Role == handshake.Responder {
		initiator, responder, first, second = peer, own, theirs, coins
	}
	si, sr, err := w.run(initiator, responder, first, second)
	if err != nil {
		return fmt.Errorf("making up a handshake: %w", err)
	}
	w.binding = si.Binding
	w.own, w.peer = ratchet.NewInitiator(si), ratchet.NewResponder(sr)
	if w.t.Role == handshake.Responder {
		w.own, w.peer = w.peer, w.own
	}
	return nil
}

func (w *workshop) run(initiator, responder handshake.Config, first, second secret.Key) (*handshake.Session, *handshake.Session, error) {
	ri, m1, err := handshake.Initiate(initiator, first)
	if err != nil {
		return nil, nil, err
	}
	rr, m2, err := handshake.Respond(responder, second, m1)
	if err != nil {
		return nil, nil, err
	}
	m3, si, err := ri.Finish(m2)
	if err != nil {
		return nil, nil, err
	}
	sr, err := rr.Finish(m3)
	if err != nil {
		return nil, nil, err
	}
	w.t.Messages = [3]handshake.Message{*m1, *m2, *m3}
	return si, sr, nil
}

// exchangeWords begins the session as every session begins: the initiator
// commits, the responder commits and reveals, the initiator reveals as soon as it
// has the commitment. What is under way at the same time is made up so, too: the
// ratchet's headers tell who had seen what.
func (w *workshop) exchangeWords() error {
	var nonce, commit [2][32]byte // by fromPeer
	for i := range nonce {
		k, err := w.draw()
		if err != nil {
			return err
		}
		side := w.t.Side
		if i == 1 {
			side = side.Other()
		}
		nonce[i] = [32]byte(k.Bytes())
		commit[i] = identity.Commitment(side, nonce[i], w.binding)
	}
	i, r := 0, 1
	if w.t.Role == handshake.Responder {
		i, r = 1, 0
	}
	content := func(a, b [32]byte) []byte { return append(a[:], b[:]...) }
	steps := []func() error{
		func() error { return w.seal(i == 1, wire.FrameCommit, 0, content(commit[i], [32]byte{})) },
		w.arrive,
		func() error { return w.seal(r == 1, wire.FrameCommit, 0, content(commit[r], commit[i])) },
		func() error { return w.seal(r == 1, wire.FrameReveal, 0, content(nonce[r], commit[i])) },
		w.arrive, // the responder's commitment
		func() error { return w.seal(i == 1, wire.FrameReveal, 0, content(nonce[i], commit[r])) },
		w.arrive, // the responder's nonce
		w.arrive, // the initiator's
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// seal seals the frames of one message at one end. The discloser writes down its
// own cells now, the peer's when they arrive.
func (w *workshop) seal(fromPeer bool, kind wire.FrameKind, channel uint32, content []byte) error {
	coins, err := w.draw()
	if err != nil {
		return err
	}
	id := wire.NewMessageID((*[32]byte)(coins.Bytes()), uint64(len(w.t.Entries)), content)
	parts := wire.Split(content)
	state, n := &w.own, 0
	if fromPeer {
		state, n = &w.peer, 1
	}
	for i, part := range parts {
		if len(w.t.Entries)+len(w.flying) >= MaxEntries {
			return ErrScript
		}
		if coins, err = w.draw(); err != nil {
			return err
		}
		w.sent[n]++
		f := wire.Frame{
			Kind: kind, Number: w.sent[n], Channel: channel, ID: id,
			Part: uint16(i), Parts: uint16(len(parts)), Minute: w.minute, Content: part,
		}
		e := Entry{FromPeer: fromPeer, Body: [wire.FrameSize]byte(f.Append(nil))}
		next, cell, _, err := (*state).Seal(coins, &e.Body)
		if err != nil {
			return err
		}
		*state, e.Cell = next, *cell
		if !fromPeer {
			copy(e.Coins[:], coins.Bytes())
			w.t.Entries = append(w.t.Entries, e)
		}
		w.flying = append(w.flying, e)
	}
	return nil
}

// arrive lets the oldest cell under way be opened at its other end.
func (w *workshop) arrive() error {
	e := w.flying[0]
	w.flying = w.flying[1:]
	state := &w.peer
	if e.FromPeer {
		state = &w.own
		w.t.Entries = append(w.t.Entries, e)
	}
	next, _, err := (*state).Open(&e.Cell, w.t.Hour/24)
	if err != nil {
		return err
	}
	*state = next
	return nil
}
