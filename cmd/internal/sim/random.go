package sim

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"time"

	"github.com/backchannel/backchannel/protocol/wire"
)

// Purposes of seeds.
const (
	forWorld = iota + 1
	forPeople
	forUser
	forRelay
	forLink
	forDrop
	forKey
)

// seedOf is the seed of one thing: nothing that one draws changes what another does.
func (w *World) seedOf(purpose, index, run int) (seed [32]byte) {
	binary.LittleEndian.PutUint64(seed[:], w.cfg.Seed)
	binary.LittleEndian.PutUint64(seed[8:], uint64(purpose))
	binary.LittleEndian.PutUint64(seed[16:], uint64(index))
	binary.LittleEndian.PutUint64(seed[24:], uint64(run))
	return seed
}

func (w *World) rand(purpose, index int) *rand.Rand {
	return rand.New(rand.NewChaCha8(w.seedOf(purpose, index, 0)))
}

// source is a machine's source of randomness. The noise of boxes that nobody reads is of
// another stream, which a fast run leaves out.
type source struct {
	*rand.ChaCha8
	noise *rand.ChaCha8 // nil: zeros
}

func (w *World) source(purpose, index, run int) *source {
	s := &source{ChaCha8: rand.NewChaCha8(w.seedOf(purpose, index, run))}
	if !w.cfg.Fast {
		s.noise = rand.NewChaCha8(w.seedOf(purpose, index, -1-run))
	}
	return s
}

// Read implements [io.Reader].
func (s *source) Read(b []byte) (int, error) {
	if len(b) != wire.BoxSize && len(b) != wire.CellSize {
		return s.ChaCha8.Read(b)
	}
	if s.noise == nil {
		return len(b), nil
	}
	return s.noise.Read(b)
}

// mix64 scatters the bits of a number.
func mix64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// exponential draws a time with a mean.
func exponential(r *rand.Rand, mean time.Duration) time.Duration {
	return time.Duration(-math.Log(1-r.Float64()) * float64(mean))
}
