package p2p

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/net/proxy"

	"github.com/backchannel/backchannel/protocol/secret"
)

// A Handle is the caller's own name for a pair. It never leaves the process.
type Handle [16]byte

// A Pair holds the secrets of one pair's link. Both ends hold the same three
// keys, with Local and Remote exchanged. They must differ from one another.
type Pair struct {
	Handle  Handle
	Network secret.Key // libp2p private-network key, the same at both ends
	Local   secret.Key // Ed25519 seed of this end's libp2p host key
	Remote  secret.Key // Ed25519 seed of the other end's; its peer ID is what we dial and expect
}

// direction says who dialled.
type direction int

const (
	inbound direction = iota + 1
	outbound
)

// A pair is a Pair in use.
type pair struct {
	Pair         // own copies of the keys
	localKey     crypto.PrivKey
	remoteID     peer.ID
	nonces       nonceSet
	isolation    *proxy.Auth // the pair's own name towards a SOCKS5 proxy
	maxPerPair   int
	host         host.Host  // set by start, before the pair can be found
	transport    *transport // likewise
	mu           sync.Mutex
	closed       bool                // guarded by mu
	links        map[*link]direction // guarded by mu: connections with a slot
	reservations map[direction]int   // guarded by mu: slots without a link yet
}

func newPair(p Pair, maxPerPair int) (*pair, error) {
	for _, k := range []secret.Key{p.Network, p.Local, p.Remote} {
		if k.IsZero() {
			return nil, ErrPair
		}
	}
	if p.Network.Equal(p.Local) || p.Network.Equal(p.Remote) || p.Local.Equal(p.Remote) {
		return nil, ErrPair
	}
	localKey, err := hostKey(p.Local)
	if err != nil {
		return nil, err
	}
	remoteKey, err := hostKey(p.Remote)
	if err != nil {
		return nil, err
	}
	remoteID, err := peer.IDFromPrivateKey(remoteKey)
	if err != nil {
		return nil, fmt.Errorf("deriving a peer ID: %w", err)
	}
	own := Pair{Handle: p.Handle, Network: p.Network.Clone(), Local: p.Local.Clone(), Remote: p.Remote.Clone()}
	return &pair{
		Pair: own, localKey: localKey, remoteID: remoteID,
		isolation: isolated(), maxPerPair: maxPerPair,
		links: map[*link]direction{}, reservations: map[direction]int{},
	}, nil
}

// hostKey is the Ed25519 key of a seed, as libp2p's type.
func hostKey(seed secret.Key) (crypto.PrivKey, error) {
	key, _, err := crypto.GenerateEd25519Key(bytes.NewReader(seed.Bytes()))
	if err != nil {
		return nil, fmt.Errorf("deriving a host key: %w", err)
	}
	return key, nil
}

// same reports whether both have the same secrets.
func (p *pair) same(q Pair) bool {
	return p.Network.Equal(q.Network) && p.Local.Equal(q.Local) && p.Remote.Equal(q.Remote)
}

// reserve takes a slot for a connection, if one is free in that direction.
// Directions count apart: the other end cannot keep us from dialling.
func (p *pair) reserve(d direction) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.reservations[d]
	for _, dir := range p.links {
		if dir == d {
			taken++
		}
	}
	if p.closed || taken >= p.maxPerPair {
		return false
	}
	p.reservations[d]++
	return true
}

// release gives back a slot that no link took.
func (p *pair) release(d direction) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reservations[d]--
}

// enter turns a reserved slot into a link's. It fails if the pair is closed.
func (p *pair) enter(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reservations[l.direction]--
	if p.closed {
		return false
	}
	p.links[l] = l.direction
	return true
}

func (p *pair) leave(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// close ends the pair's connections and its host, and wipes its keys. Nobody can
// find the pair any more when it is called.
func (p *pair) close() {
	p.mu.Lock()
	p.closed = true
	links := make([]*link, 0, len(p.links))
	for l := range p.links {
		links = append(links, l)
	}
	p.mu.Unlock()
	for _, l := range links {
		l.close()
	}
	p.stop()
	p.Network.Wipe()
	p.Local.Wipe()
	p.Remote.Wipe()
}
