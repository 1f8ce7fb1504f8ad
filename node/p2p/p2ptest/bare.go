// Package p2ptest holds what a node is measured against: a libp2p host with
// nothing of ours in it.
package p2ptest

import (
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
)

// BareHost starts a libp2p host with TCP and Noise on loopback and libp2p's
// defaults otherwise.
func BareHost() (io.Closer, error) {
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
