package link

import (
	"net/netip"
	"sync"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Connections from one address: as many at once, then one in so long.
const (
	bucketBurst = 16
	bucketEvery = 4 * time.Second
	maxBuckets  = 4096
)

// buckets bound how often one address may begin a handshake, which costs this relay
// public-key work. An address is an IPv4 address, or the /56 of an IPv6 address.
type buckets struct {
	now func() time.Time

	mu sync.Mutex
	m  map[netip.Prefix]time.Time // when the bucket is full again; guarded by mu
}

func newBuckets(now func() time.Time) *buckets {
	return &buckets{now: now, m: map[netip.Prefix]time.Time{}}
}

// blockOf is what counts as one address.
func blockOf(a netip.Addr) (netip.Prefix, bool) {
	bits := 32
	if a = a.Unmap(); a.Is6() {
		bits = 56
	}
	p, err := a.Prefix(bits)
	return p, err == nil
}

// prefixOf is the block of a connection's other end.
func prefixOf(a ma.Multiaddr) (p netip.Prefix, ok bool) {
	n, err := manet.ToNetAddr(a)
	if err != nil {
		return p, false
	}
	at, err := netip.ParseAddrPort(n.String())
	if err != nil {
		return p, false
	}
	return blockOf(at.Addr())
}

// take reports whether an address may begin another handshake.
func (b *buckets) take(a netip.Addr) bool {
	prefix, ok := blockOf(a)
	return ok && b.takeFrom(prefix)
}

func (b *buckets) takeFrom(prefix netip.Prefix) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	full, known := b.m[prefix]
	if full.Before(now) {
		full = now
	}
	if full = full.Add(bucketEvery); full.Sub(now) > bucketBurst*bucketEvery {
		return false
	}
	if !known && len(b.m) >= maxBuckets && !b.forget(now) {
		return false // as many addresses as this have come within a minute: a flood
	}
	b.m[prefix] = full
	return true
}

// forget drops buckets that are full. Nothing of an address outlives a minute.
func (b *buckets) forget(now time.Time) bool {
	for p, full := range b.m {
		if !full.After(now) {
			delete(b.m, p)
		}
	}
	return len(b.m) < maxBuckets
}

// sweep is called now and then.
func (b *buckets) sweep() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(b.now())
}
