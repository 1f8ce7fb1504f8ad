package link

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
)

// Sizes of a question about the directory and of its answer, the same for everybody.
const (
	questionSize = 2 + onion.IDSize + directory.MaxSummary
	answerSize   = 4 + directory.MaxMessage
	maxAsking    = 32 // of relays, and of others, at once
	askTimeout   = 30 * time.Second
)

var errSize = errors.New("link: size of a question")

// incomingQuestion answers one question, whoever asks.
func (h *Host) incomingQuestion(s network.Stream) {
	_, ok := h.begin()
	if !ok {
		_ = s.Reset()
		return
	}
	defer h.tasks.Done()
	id, err := idOfPeer(s.Conn().RemotePeer())
	room := h.questions(id)
	if err != nil || h.cfg.Answer == nil || !room.enter(s, id, time.Now()) {
		_ = s.Reset()
		return
	}
	defer room.leave(s)
	if err := h.answer(s); err != nil {
		_ = s.Reset()
		return
	}
	_ = s.Close()
}

// questions is the room for those of a relay, or of anybody else.
func (h *Host) questions(from onion.ID) *askers {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.neighbours[from] != nil {
		return h.byRelays
	}
	return h.byOthers
}

func (h *Host) answer(s network.Stream) error {
	if err := s.SetDeadline(time.Now().Add(askTimeout)); err != nil {
		return err
	}
	question := make([]byte, questionSize)
	if _, err := io.ReadFull(s, question); err != nil {
		return err
	}
	size := int(binary.BigEndian.Uint16(question))
	if size > questionSize-2 {
		return errSize
	}
	answer := h.cfg.Answer(question[2 : 2+size])
	if len(answer) > answerSize-4 {
		return errSize
	}
	out := make([]byte, answerSize)
	binary.BigEndian.PutUint32(out, uint32(len(answer)))
	copy(out[4:], answer)
	_, err := s.Write(out)
	return err
}

// ask sends a question and reads its answer.
func ask(ctx context.Context, s network.MuxedStream, question []byte) ([]byte, error) {
	if len(question) > questionSize-2 {
		return nil, errSize
	}
	if err := s.SetDeadline(time.Now().Add(askTimeout)); err != nil {
		return nil, ErrClosed
	}
	defer context.AfterFunc(ctx, func() { _ = s.Reset() })()
	out := make([]byte, questionSize)
	binary.BigEndian.PutUint16(out, uint16(len(question)))
	copy(out[2:], question)
	if _, err := s.Write(out); err != nil {
		return nil, ErrClosed
	}
	answer := make([]byte, answerSize)
	if _, err := io.ReadFull(s, answer); err != nil {
		return nil, ErrClosed
	}
	size := binary.BigEndian.Uint32(answer)
	if size > answerSize-4 {
		return nil, errSize
	}
	return answer[4 : 4+size], nil
}

// Ask asks the relay about the directory; the answer is a message of items.
func (g *Guard) Ask(ctx context.Context, question []byte) ([]byte, error) {
	s, err := g.open(ctx, directoryProtocol)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Reset() }()
	return ask(ctx, s, question)
}

// Ask asks a neighbour about the directory.
func (h *Host) Ask(ctx context.Context, relay onion.ID, question []byte) ([]byte, error) {
	h.mu.Lock()
	n := h.neighbours[relay]
	h.mu.Unlock()
	if n == nil {
		return nil, ErrNoLink
	}
	s, err := h.host.NewStream(network.WithNoDial(ctx, "asks neighbours alone"), n.peer, directoryProtocol)
	if err != nil {
		return nil, ErrNoLink
	}
	defer func() { _ = s.Reset() }()
	return ask(ctx, s, question)
}
