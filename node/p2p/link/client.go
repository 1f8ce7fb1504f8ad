package link

import (
	"crypto/rand"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/backchannel/backchannel/protocol/onion"
)

// waitingSlots is for how many slots' worth of packets a client's replies may wait. Each
// packet takes one of them and brings one, so that the queue stays as long as it became once:
// after a stall all replies come late by as much as it holds, until the client leaves. With two
// slots' worth one reply in a thousand is dropped that would have come late.
const waitingSlots = 2

// placesOfOne is the part of the places that are left for clients, in so many, that may be
// taken from one address: so a flood from a few takes no more than a few shares.
const placesOfOne = 4

// A client is a principal's connection. Nothing of it outlives the connection.
type client struct {
	at      netip.Prefix // where it comes from, as buckets count
	waiting [][]byte     // guarded by Host.mu
}

// passing is a client's name as a key. Go clears the key of an entry that is deleted only if
// there is a pointer in it; else the name would lie in the map until another took its
// place.
type passing struct {
	onion.ID
	_ *byte
}

// incomingClient serves a principal: each packet is answered at once by one. So the two
// directions are alike whatever comes for him, and there is no clock to agree on.
func (h *Host) incomingClient(s network.Stream) {
	_, ok := h.begin()
	if !ok {
		_ = s.Reset()
		return
	}
	defer h.tasks.Done()
	id, err := idOfPeer(s.Conn().RemotePeer())
	at, known := prefixOf(s.Conn().RemoteMultiaddr())
	c := &client{at: at}
	if err != nil || !known || !h.enter(id, c) {
		_ = s.Reset()
		_ = s.Conn().Close()
		return
	}
	_ = h.exchange(id, c, s)
	_ = s.Reset()
	h.leave(id, c)
	_ = s.Conn().Close()
}

// enter notes a client, once.
func (h *Host) enter(id onion.ID, c *client) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	free := h.cfg.MaxClients - len(h.clients)
	if h.places[c.at] >= (free+placesOfOne-1)/placesOfOne || h.clients[passing{ID: id}] != nil || h.neighbours[id] != nil || id == h.id {
		return false
	}
	h.clients[passing{ID: id}] = c
	h.places[c.at]++
	return true
}

// leave forgets a client.
func (h *Host) leave(id onion.ID, c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.clients, passing{ID: id})
	if h.places[c.at]--; h.places[c.at] == 0 {
		delete(h.places, c.at)
	}
}

func (h *Host) exchange(id onion.ID, c *client, s network.Stream) error {
	frames := newFrameReader(s, h.cfg.Packet)
	allowed := newAllowance(h.cfg.Slot, h.cfg.PerClient)
	patience := max(4*h.cfg.Slot, writeTimeout)
	filler, out := make([]byte, h.cfg.Packet), make([]byte, 0, frameSize(h.cfg.Packet))
	for {
		now := time.Now()
		if err := s.SetReadDeadline(now.Add(patience)); err != nil {
			return err
		}
		packet, err := frames.next()
		if err != nil {
			return err
		}
		if packet == nil {
			return errFrame // a principal has no padding: his loops are packets
		}
		if !allowed.take(time.Now()) {
			return errRate
		}
		copy(filler, packet[:2])
		h.cfg.Receive(id, true, packet)
		if out, err = h.reply(out[:0], c, filler); err != nil {
			return err
		}
		if err := s.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return err
		}
		tapped(h.id, id, 1, h.cfg.Packet)
		if _, err := s.Write(out); err != nil {
			return err
		}
	}
}

// reply takes the reply that has waited longest, or random bytes behind version and
// suite.
func (h *Host) reply(out []byte, c *client, filler []byte) ([]byte, error) {
	h.mu.Lock()
	var packet []byte
	if len(c.waiting) > 0 {
		packet = c.waiting[0]
		c.waiting = c.waiting[1:]
	}
	h.mu.Unlock()
	if packet == nil {
		if _, err := rand.Read(filler[2:]); err != nil {
			return nil, err
		}
		packet = filler
	}
	return appendFrame(out, packet, h.cfg.Packet), nil
}

// Deliver gives a packet to a client. It leaves when the client has sent one.
func (h *Host) Deliver(name onion.ID, packet []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.clients[passing{ID: name}]
	if c == nil || len(packet) != h.cfg.Packet {
		return ErrNoLink
	}
	if len(c.waiting) >= waitingSlots*h.cfg.PerClient {
		return ErrFull
	}
	c.waiting = append(c.waiting, packet)
	return nil
}

// Clients returns how many clients there are.
func (h *Host) Clients() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.clients)
}
