package sim

import (
	"time"

	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/wire"
)

// dropDays is how many fourths of the expiry a drop keeps boxes for, the present one
// among them (relay/drop).
const dropDays = 5

// A box as it lies in a drop in memory: of what goes by reference the reference alone.
type kept struct {
	day  int64
	box  *wire.Box // of a run with cryptography
	line int32     // of a fast one: its place in shelf, or -1 for noise
}

// memory is a drop without a disk: first write wins, reads change nothing, boxes go with
// their day. There is always room.
type memory struct {
	w     *World
	boxes map[[16]byte]kept
	shelf [][reference]byte
	swept int64
}

func (m *memory) day(now time.Time) int64 {
	return now.UnixNano() / int64(m.w.network.Constants.Expiry/4)
}

// answer does what a packet asks for. Its box's memory becomes that of the answer.
func (m *memory) answer(now time.Time, b onion.Body) (drop.Status, *wire.Box) {
	day := m.day(now)
	m.sweep(day)
	switch b.Command {
	case onion.Put:
		address := short(drop.AddressOf(b.Key[:]))
		if k, there := m.boxes[address]; there {
			if k.box != nil && *k.box == *b.Box {
				return drop.Stored, b.Box
			}
			return drop.Taken, b.Box
		}
		m.boxes[address] = m.keep(day, b.Box)
		return drop.Stored, b.Box
	case onion.Get:
		k, there := m.boxes[short(b.Key)]
		switch {
		case !there:
			return drop.None, b.Box
		case k.box != nil:
			return drop.Found, k.box
		}
		putReference(b.Box, m.line(k))
		return drop.Found, b.Box
	case onion.Loop:
	}
	return drop.Looped, b.Box
}

func short(a [32]byte) [16]byte { return [16]byte(a[:16]) }

func (m *memory) keep(day int64, b *wire.Box) kept {
	if !m.w.cfg.Fast {
		own := *b
		return kept{day: day, box: &own}
	}
	k := kept{day: day, line: -1}
	if b[0] == byReference {
		k.line = int32(len(m.shelf))
		m.shelf = append(m.shelf, [reference]byte(b[:reference]))
	}
	return k
}

func (m *memory) line(k kept) []byte {
	if k.line < 0 {
		return nil
	}
	return m.shelf[k.line][:]
}

// sweep lets go of what has expired, once in a day.
func (m *memory) sweep(day int64) {
	if day == m.swept {
		return
	}
	m.swept = day
	for a, k := range m.boxes {
		if k.day+dropDays <= day {
			delete(m.boxes, a)
		}
	}
}
