package channel_test

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/backchannel/backchannel/protocol/forge"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/ratchet"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A forgeryRaw is a transcript's bytes cut into fields by their places alone, so
// that a field which the strict parser refuses is looked at like any other.
type forgeryRaw struct {
	size     int
	head     []byte // mode, role, side, hour
	names    [2][]byte
	keys     [][]byte // static, own card's static, peer card's static, pair, coins
	cards    [2][]byte
	messages [3][]byte
	count    []byte
	entries  [][]byte
}

const forgeryEntrySize = 1 + secret.Size + wire.FrameSize + wire.CellSize

func cutForgery(b []byte) (r forgeryRaw) {
	r.size = len(b)
	take := func(n int) []byte {
		out := b[:n]
		b = b[n:]
		return out
	}
	take(4)
	r.head = take(7)
	for i := range r.names {
		r.names[i] = take(int(take(1)[0]))
	}
	static := take(secret.Size)
	for i := range r.cards {
		r.cards[i] = take(identity.CardSize)
	}
	r.keys = [][]byte{static, r.cards[0][2:34], r.cards[1][2:34], take(secret.Size), take(secret.Size)}
	for i := range r.messages {
		r.messages[i] = take(handshake.MessageSize)
	}
	r.count = take(4)
	for len(b) >= forgeryEntrySize {
		r.entries = append(r.entries, take(forgeryEntrySize))
	}
	return r
}

// The parts of an entry, and the fields of its frame (docs/spec/frame.md).
type forgeryEntry []byte

func (e forgeryEntry) from() int       { return int(e[0]) }
func (e forgeryEntry) coins() []byte   { return e[1:33] }
func (e forgeryEntry) body() []byte    { return e[33 : 33+wire.FrameSize] }
func (e forgeryEntry) cell() []byte    { return e[33+wire.FrameSize:] }
func (e forgeryEntry) kind() int       { return int(e.body()[0]) }
func (e forgeryEntry) number() int     { return int(binary.BigEndian.Uint32(e.body()[2:])) }
func (e forgeryEntry) channel() int    { return int(binary.BigEndian.Uint32(e.body()[6:])) }
func (e forgeryEntry) id() []byte      { return e.body()[10:18] }
func (e forgeryEntry) part() int       { return int(binary.BigEndian.Uint16(e.body()[18:])) }
func (e forgeryEntry) parts() int      { return int(binary.BigEndian.Uint16(e.body()[20:])) }
func (e forgeryEntry) minute() int     { return int(binary.BigEndian.Uint32(e.body()[22:])) }
func (e forgeryEntry) length() int     { return int(binary.BigEndian.Uint16(e.body()[26:])) }
func (e forgeryEntry) content() []byte { return e.body()[28:][:min(e.length(), wire.ContentSize)] }
func (e forgeryEntry) padding() []byte { return e.body()[28+min(e.length(), wire.ContentSize):] }

// judgeForgery takes all named features of a transcript.
func judgeForgery(raw []byte) *prototest.Features {
	r, f := cutForgery(raw), &prototest.Features{}
	f.Add("size", float64(r.size))
	hour := int(binary.BigEndian.Uint32(r.head[3:]))
	for i, name := range []string{"mode", "role", "side"} {
		f.Add(name, float64(r.head[i]))
	}
	f.Add("hour", float64(hour))
	f.Add("hour of the day", float64(hour%24))
	for i, name := range []string{"own name", "peer name"} {
		f.Add(name+": length", float64(len(r.names[i])))
		f.Noise(name, r.names[i])
	}
	for i, name := range []string{"static", "own card's key", "peer card's key", "pair", "coins"} {
		f.Noise(name, r.keys[i])
	}
	for i, name := range []string{"own card", "peer card"} {
		for j, b := range r.cards[i][:64] {
			if j < 2 || j >= 34 {
				f.Add(fmt.Sprintf("%s: byte %d", name, j), float64(b))
			}
		}
		f.Noise(name+": rest", r.cards[i][64:])
	}
	for i := range r.messages {
		f.Noise(fmt.Sprintf("m%d", i+1), r.messages[i])
	}
	f.Add("count", float64(binary.BigEndian.Uint32(r.count)))
	for from, name := range []string{"own", "peer"} {
		var list []forgeryEntry
		for _, e := range r.entries {
			if forgeryEntry(e).from() == from {
				list = append(list, e)
			}
		}
		forgeryFrames(f, name, list, hour)
	}
	forgeryOrder(f, r, hour)
	return f
}

// forgeryFrames adds the fields of all frames of one side.
func forgeryFrames(f *prototest.Features, who string, list []forgeryEntry, hour int) {
	fields := map[string]func(forgeryEntry) float64{
		"kind":            func(e forgeryEntry) float64 { return float64(e.kind()) },
		"flags":           func(e forgeryEntry) float64 { return float64(e.body()[1]) },
		"number":          func(e forgeryEntry) float64 { return float64(e.number()) },
		"channel":         func(e forgeryEntry) float64 { return float64(e.channel()) },
		"part":            func(e forgeryEntry) float64 { return float64(e.part()) },
		"parts":           func(e forgeryEntry) float64 { return float64(e.parts()) },
		"minute":          func(e forgeryEntry) float64 { return float64(e.minute() - 60*hour) },
		"minute's parity": func(e forgeryEntry) float64 { return float64(e.minute() % 2) },
		"minute mod 5":    func(e forgeryEntry) float64 { return float64(e.minute() % 5) },
		"minute mod 60":   func(e forgeryEntry) float64 { return float64(e.minute() % 60) },
		"length":          func(e forgeryEntry) float64 { return float64(e.length()) },
		"padding": func(e forgeryEntry) float64 {
			set := 0
			for _, b := range e.padding() {
				if b != 0 {
					set++
				}
			}
			return float64(set)
		},
	}
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		v := make([]float64, len(list))
		for i, e := range list {
			v[i] = fields[name](e)
		}
		f.Series(who+": "+name, v)
	}
	var ids, coins, cells, texts, firsts, lasts []byte
	var steps, gaps []float64
	for i, e := range list {
		ids, coins, cells = append(ids, e.id()...), append(coins, e.coins()...), append(cells, e.cell()...)
		texts = append(texts, e.content()...)
		firsts, lasts = append(firsts, e.cell()[0]), append(lasts, e.cell()[wire.CellSize-1])
		if i > 0 {
			steps = append(steps, float64(e.number()-list[i-1].number()))
			gaps = append(gaps, float64(e.minute()-list[i-1].minute()))
		}
	}
	f.Series(who+": number's step", steps)
	f.Series(who+": minutes between", gaps)
	for i, b := range [][]byte{ids, coins, cells, texts, firsts, lasts} {
		f.Noise(who+": "+[]string{"IDs", "coins", "cells", "contents", "first bytes of cells", "last bytes of cells"}[i], b)
	}
	f.Add(who+": frames", float64(len(list)))
}

// forgeryOrder adds what comes after what.
func forgeryOrder(f *prototest.Features, r forgeryRaw, hour int) {
	turns, longest, run, text := 0, 0, 0, 0
	var gaps, back []float64
	ids := map[string]bool{}
	for i := range r.entries {
		e := forgeryEntry(r.entries[i])
		ids[string(e.id())] = true
		run++
		if e.kind() == int(wire.FrameText) && text == 0 {
			text = i
		}
		if i == 0 {
			continue
		}
		before := forgeryEntry(r.entries[i-1])
		gap := float64(e.minute() - before.minute())
		gaps = append(gaps, gap)
		back = append(back, min(gap, 0))
		if before.from() != e.from() {
			turns++
			run = 1
		}
		longest = max(longest, run)
	}
	f.Series("minutes between frames", gaps)
	f.Series("minutes backwards", back)
	f.Add("turns", float64(turns))
	f.Add("longest run", float64(longest))
	f.Add("distinct IDs", float64(len(ids)))
	f.Add("place of the first text", float64(text))
	if n := len(r.entries); n > 0 {
		f.Add("minutes of the whole", float64(forgeryEntry(r.entries[n-1]).minute()-60*hour))
		f.Add("minutes before the first text", float64(forgeryEntry(r.entries[text]).minute()-forgeryEntry(r.entries[0]).minute()))
	} else {
		f.Add("minutes of the whole", -1)
		f.Add("minutes before the first text", -1)
	}
	for i := range 10 { // each kind of beginning is a feature of its own
		for from := range 2 {
			for kind := range 4 {
				is := 0.0
				if i < len(r.entries) && forgeryEntry(r.entries[i]).from() == from && forgeryEntry(r.entries[i]).kind() == kind {
					is = 1
				}
				f.Add(fmt.Sprintf("frame %d is of %d and kind %d", i, from, kind), is)
			}
		}
	}
}

// judgeForgeryHeaders adds what the discloser's keys show inside the headers of
// the peer's cells: the chains, and the places in them.
func judgeForgeryHeaders(f *prototest.Features, t *forge.Transcript) error {
	session, err := forgeryHandshake(t)
	if err != nil {
		return err
	}
	state := ratchet.NewResponder(session)
	if t.Role == handshake.Initiator {
		state = ratchet.NewInitiator(session)
	}
	var places, fresh []float64
	var chain [32]byte
	answered := false // something own went out since the peer's last cell
	for i := range t.Entries {
		e := &t.Entries[i]
		if !e.FromPeer {
			if state, _, _, err = state.Seal(secret.New(&e.Coins), &e.Body); err != nil {
				return err
			}
			answered = true
			continue
		}
		h, ok := state.Peek(&e.Cell)
		if !ok {
			return forge.ErrKeys
		}
		changed := 0.0
		if h.Chain != chain {
			changed = 1
		}
		if answered {
			changed += 2
		}
		chain, answered = h.Chain, false
		places, fresh = append(places, float64(h.N)), append(fresh, changed)
		if state, _, err = state.Open(&e.Cell, t.Hour/24); err != nil {
			return err
		}
	}
	f.Series("place in the chain", places)
	f.Series("new chain", fresh)
	unseen := 0 // cells that were sealed before the last own one had come
	for _, x := range fresh {
		if x == 2 {
			unseen++
		}
	}
	f.Add("cells that crossed", float64(unseen))
	return nil
}

// placesOfForgery is every byte by its place: of head, names, keys and cards, of
// the three messages, the mean of each byte of the entries of either side, and
// every bit of every key.
func placesOfForgery(raw []byte) []float64 {
	r := cutForgery(raw)
	var v []float64
	put := func(b []byte, size int) {
		for i := range size {
			if i < len(b) {
				v = append(v, float64(b[i]))
			} else {
				v = append(v, -1)
			}
		}
	}
	put(r.head, len(r.head))
	put(r.names[0], 64)
	put(r.names[1], 64)
	for _, k := range r.keys {
		put(k, secret.Size)
		for i := range 8 * secret.Size {
			v = append(v, float64(k[i/8]>>(i%8)&1))
		}
	}
	for i := range r.cards {
		put(r.cards[i][34:], identity.CardSize-34)
	}
	for i := range r.messages {
		put(r.messages[i], handshake.MessageSize)
	}
	for from := range 2 {
		sum, n := make([]int, forgeryEntrySize), 0
		for _, e := range r.entries {
			if int(e[0]) != from {
				continue
			}
			n++
			for i, b := range e {
				sum[i] += int(b)
			}
		}
		for _, s := range sum {
			v = append(v, float64(s)/float64(max(n, 1)))
		}
	}
	return v
}
