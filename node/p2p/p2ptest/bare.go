// Package p2ptest holds what a node is measured against: libp2p hosts with
// nothing of ours in them.
package p2ptest

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
)

// BareHost starts a libp2p host with TCP and Noise on loopback and libp2p's
// defaults otherwise.
func BareHost() (io.Closer, error) { return bareHost() }

func bareHost() (host.Host, error) {
	h, err := libp2p.New(
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Security(noise.ID, noise.New),
		libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"),
	)
	if err != nil {
		return nil, fmt.Errorf("starting a bare host: %w", err)
	}
	return h, nil
}

// Stream sends so many bytes from one bare host to another, in writes of the given
// size, and returns how long it took until the last was read.
func Stream(ctx context.Context, size int64, write int) (time.Duration, error) {
	from, err := bareHost()
	if err != nil {
		return 0, err
	}
	defer func() { _ = from.Close() }()
	to, err := bareHost()
	if err != nil {
		return 0, err
	}
	defer func() { _ = to.Close() }()
	const protocol = "/bytes/1"
	read := make(chan error, 1)
	to.SetStreamHandler(protocol, func(s network.Stream) {
		n, err := io.Copy(io.Discard, s)
		if err == nil && n != size {
			err = io.ErrUnexpectedEOF
		}
		read <- err
	})
	if err := from.Connect(ctx, peer.AddrInfo{ID: to.ID(), Addrs: to.Addrs()}); err != nil {
		return 0, fmt.Errorf("connecting: %w", err)
	}
	s, err := from.NewStream(ctx, to.ID(), protocol)
	if err != nil {
		return 0, fmt.Errorf("opening a stream: %w", err)
	}
	at := time.Now()
	buffer := make([]byte, write)
	for left := size; left > 0; left -= int64(write) {
		if _, err := s.Write(buffer[:min(left, int64(write))]); err != nil {
			return 0, fmt.Errorf("writing: %w", err)
		}
	}
	if err := s.CloseWrite(); err != nil {
		return 0, fmt.Errorf("closing: %w", err)
	}
	select {
	case err = <-read:
	case <-ctx.Done():
		err = ctx.Err()
	}
	return time.Since(at), err
}
