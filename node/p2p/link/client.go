package link

import (
	"crypto/rand"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/backchannel/backchannel/protocol/onion"
)

// waitingSlots is for how many slots' worth of packets a client's replies may wait.
const waitingSlots = 6

// A client is a principal's connection. Nothing of it outlives the connection.
type client struct {
	waiting [][]byte // guarded by Host.mu
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
	c := new(client)
	if err != nil || !h.enter(id, c) {
		_ = s.Reset()
		_ = s.Conn().Close()
		return
	}
	_ = h.exchange(id, c, s)
	_ = s.Reset()
	h.mu.Lock()
	delete(h.clients, id)
	h.mu.Unlock()
	_ = s.Conn().Close()
}

// enter notes a client, once.
func (h *Host) enter(id onion.ID, c *client) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.clients) >= h.cfg.MaxClients || h.clients[id] != nil || h.neighbours[id] != nil || id == h.id {
		return false
	}
	h.clients[id] = c
	return true
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
	c := h.clients[name]
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
