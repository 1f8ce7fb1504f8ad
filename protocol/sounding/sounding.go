package sounding

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/gtank/ristretto255"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// What a sounding is made of.
const (
	Entries = 8  // of each side
	Rounds  = 20 // of two bits for each pair
	TagBits = 2 * Rounds

	// LeastBits is how many bits of a pair must have been heard, and have agreed, for
	// it to be told at all: by chance that is one pair in 256.
	LeastBits = 8

	pairs     = Entries * Entries
	tagSize   = TagBits / 8
	pointSize = 32
	filler    = 0xff // in place of the number of a topic
)

// An ID names one sounding.
type ID [32]byte

// NewID names the sounding with this number between two ends that share binding,
// a value of their session that is secret and the same on both sides.
func NewID(binding [32]byte, number uint64) ID {
	return label.Hash(label.SoundingID, binding[:], binary.BigEndian.AppendUint64(nil, number))
}

// A Role says who moves first. The one who moves last is up to two bits behind.
type Role byte

// The roles.
const (
	First Role = 1 + iota
	Second
)

// String implements [fmt.Stringer].
func (r Role) String() string {
	switch r {
	case First:
		return "first"
	case Second:
		return "second"
	}
	return fmt.Sprintf("Role(%d)", byte(r))
}

func (r Role) other() Role { return First + Second - r }

// A Sounding is one side of a sounding. It is for one goroutine, and after each
// step it must be saved before anything is sent; see [Sounding.Append].
type Sounding struct {
	id     ID
	role   Role
	step   byte // how many messages of the other side were taken
	closed bool
	seed   secret.Key
	topics [Entries]byte // which of the owner's topics an entry is, or filler
	shares [Entries][pointSize]byte

	scalars [Entries][32]byte // until the other side's shares came
	alive   uint64            // bit i: pair i agrees so far
	mine    [pairs][tagSize]byte
	theirs  [pairs][tagSize]byte
}

// New begins a sounding about the given topics, which it normalizes: none to
// eight, each once.
func New(id ID, role Role, topics []string, random io.Reader) (*Sounding, error) {
	if role != First && role != Second {
		return nil, ErrOrder
	}
	normal, err := normalizeAll(topics)
	if err != nil {
		return nil, err
	}
	seed, err := secret.Read(random)
	if err != nil {
		return nil, err
	}
	s := &Sounding{id: id, role: role, seed: seed, alive: ^uint64(0)}
	// All that is drawn depends on the sounding and on the topics too: a machine
	// whose random generator repeats itself does not use one scalar twice.
	context := [][]byte{id[:], {byte(role)}}
	for _, t := range normal {
		context = append(context, []byte(t))
	}
	coins := label.Derive(label.SoundingCoins, seed.Bytes(), nil, Entries*(64+32+8), context...)
	defer clear(coins)
	wide, fillers, order := coins[:Entries*64], coins[Entries*64:Entries*96], coins[Entries*96:]
	for entry, topic := range shuffled(order) {
		input, kind := fillers[32*entry:32*entry+32], byte(0)
		s.topics[entry] = filler
		if topic < len(normal) {
			input, kind = []byte(normal[topic]), 1
			s.topics[entry] = byte(topic)
		}
		h := label.Hash512(label.SoundingPoint, id[:], []byte{kind}, input)
		g, err := ristretto255.NewIdentityElement().SetUniformBytes(h[:])
		if err != nil {
			panic("sounding: a point is drawn from 64 bytes")
		}
		x, err := ristretto255.NewScalar().SetUniformBytes(wide[64*entry : 64*entry+64])
		if err != nil {
			panic("sounding: a scalar is drawn from 64 bytes")
		}
		s.shares[entry] = [pointSize]byte(g.ScalarMult(x, g).Bytes())
		s.scalars[entry] = [32]byte(x.Bytes())
	}
	return s, nil
}

func normalizeAll(topics []string) ([]string, error) {
	if len(topics) > Entries {
		return nil, ErrTopic
	}
	var normal []string
	for _, t := range topics {
		n, err := Normalize(t)
		if err != nil {
			return nil, err
		}
		if slices.Contains(normal, n) {
			return nil, ErrTopic
		}
		normal = append(normal, n)
	}
	return normal, nil
}

// shuffled gives each entry its number, in an order drawn from 64 bytes.
func shuffled(order []byte) [Entries]int {
	var draw [Entries]uint64
	var numbers [Entries]int
	for i := range numbers {
		numbers[i] = i
		draw[i] = binary.BigEndian.Uint64(order[8*i:])
	}
	slices.SortFunc(numbers[:], func(a, b int) int {
		if draw[a] < draw[b] {
			return -1
		}
		return 1
	})
	return numbers
}

// Close ends the sounding when its time has come, whatever is missing.
func (s *Sounding) Close() { s.closed = true }

// Done reports whether all messages of the other side have come.
func (s *Sounding) Done() bool { return s.step == Rounds+1 }

// A Common is a topic that the other side has too.
type Common struct {
	Topic int // its number in [New]
	Bits  int // bits that agreed; less than [TagBits] if the other side stopped early
}

// Result lists the topics in common once the sounding was closed, and gives
// ErrUnfinished before. An empty list does not say why it is empty.
//
// With fewer bits than [TagBits] it may be chance: for one topic that has the
// probability 8 / 2^Bits. The side that stopped has heard at most two bits more.
func (s *Sounding) Result() ([]Common, error) {
	if !s.closed {
		return nil, ErrUnfinished
	}
	heard := 0
	if s.step > 1 {
		heard = 2 * (int(s.step) - 1)
	}
	var r []Common
	for entry, topic := range s.topics {
		if topic == filler || heard < LeastBits {
			continue
		}
		for other := range Entries {
			if s.alive>>s.pair(entry, other)&1 == 1 {
				r = append(r, Common{Topic: int(topic), Bits: heard})
				break
			}
		}
	}
	slices.SortFunc(r, func(a, b Common) int { return a.Topic - b.Topic })
	return r, nil
}

// pair numbers the pair of one of our entries and one of theirs: the first
// side's entry counts eights.
func (s *Sounding) pair(own, their int) int {
	if s.role == First {
		return Entries*own + their
	}
	return Entries*their + own
}

// Wipe clears the secrets; s is of no use after it.
func (s *Sounding) Wipe() {
	s.seed.Wipe()
	clear(s.scalars[:])
	clear(s.mine[:])
	clear(s.theirs[:])
	clear(s.topics[:])
}

// Format implements [fmt.Formatter] for every verb.
func (*Sounding) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[secret]") }
