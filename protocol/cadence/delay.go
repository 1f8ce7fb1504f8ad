package cadence

import (
	"encoding/binary"
	"math/bits"
	"time"
)

const (
	// SeedSize is how many bytes a delay is drawn from.
	SeedSize = 16
	// Longest is the longest delay, in means. One in 22,000 would be longer; it is
	// this long.
	Longest = 10

	fraction = 40                 // bits of the logarithm behind the point
	ln2      = 0xb17217f7d1cf79ab // ln 2 times 2^64, rounded down
)

// Delay returns how long a relay keeps a packet: exponential with the given mean,
// at most [Longest] means. The mean is at least a microsecond and at most an hour;
// another one is a programming error and panics, since a delay of zero would hide
// nothing.
func Delay(seed [SeedSize]byte, mean time.Duration) time.Duration {
	if mean < time.Microsecond || mean > time.Hour {
		panic("cadence: no mean delay")
	}
	// mean · ln 2 · log2(1/u). The logarithm has 46 bits with those behind the point,
	// the mean 42: the product is taken in two halves.
	log := negLog2(binary.BigEndian.Uint64(seed[:]))
	nats, _ := bits.Mul64(log, ln2)
	hi, lo := bits.Mul64(nats, uint64(mean))
	return min(time.Duration(hi<<(64-fraction)|lo>>fraction), Longest*mean)
}

// negLog2 is -log2((x+1) / 2^64), times 2^fraction and rounded down. The integer
// part is the number of leading zeros; each bit behind the point comes from a
// squaring.
func negLog2(x uint64) uint64 {
	if x == 1<<64-1 {
		return 0
	}
	x++
	zeros := uint64(bits.LeadingZeros64(x))
	x <<= zeros // now between 1 and 2, with 63 bits behind the point
	var log uint64
	for range fraction {
		hi, lo := bits.Mul64(x, x)
		log <<= 1
		if hi>>63 == 1 { // the square is 2 or more
			log |= 1
			x = hi
		} else {
			x = hi<<1 | lo>>63
		}
	}
	return (zeros+1)<<fraction - log
}
