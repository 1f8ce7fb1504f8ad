package p2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// The errors that a caller may want to tell apart. No error of this package
// holds a secret, a peer ID or an address.
var (
	// ErrClosed: the network does not run, or the connection was closed here.
	ErrClosed = errors.New("p2p: closed or not running")
	// ErrAddressInUse: another program has the port.
	ErrAddressInUse = errors.New("p2p: port is in use by another program")
	// ErrAddress: not a "host:port" that can be dialled or listened on.
	ErrAddress = errors.New("p2p: malformed address")
	// ErrProxy: Config.Proxy is not "socks5://host:port".
	ErrProxy = errors.New("p2p: malformed proxy, want socks5://host:port")
	// ErrNeedsProxy: the address ends in .onion and there is no proxy.
	ErrNeedsProxy = errors.New("p2p: an .onion address needs the proxy (a Tor SOCKS5 port)")
	// ErrUnreachable: no TCP connection to the address, directly or by the proxy.
	ErrUnreachable = errors.New("p2p: address is unreachable")
	// ErrRefused: something answers at the address, but not as this pair's other
	// end. It may be somebody else, not know the pair, or have enough connections.
	ErrRefused = errors.New("p2p: no such pair at that address")
	// ErrPair: the secrets of a pair are missing or not distinct.
	ErrPair = errors.New("p2p: a pair needs three distinct keys")
	// ErrPairExists: the handle or the network key belongs to another pair.
	ErrPairExists = errors.New("p2p: pair exists with other secrets or under another handle")
	// ErrNoPair: no pair of this network has the handle.
	ErrNoPair = errors.New("p2p: unknown pair")
	// ErrTooMany: the pair has as many connections as Config.MaxPerPair allows.
	ErrTooMany = errors.New("p2p: pair has too many connections")
	// ErrBroken: the connection ended without being closed by either end.
	ErrBroken = errors.New("p2p: connection broken")
)

// failing joins a sentinel with the end of the caller's context, if that was the
// cause. The cause itself is left out: net and libp2p put addresses into theirs.
func failing(ctx context.Context, sentinel error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", sentinel, err)
	}
	return sentinel
}

// plain maps an error of libp2p's stream to one without addresses.
func plain(err error) error {
	var timeout interface{ Timeout() bool }
	switch {
	case err == nil:
		return nil
	case err == io.EOF: //nolint:errorlint // a cut TCP connection wraps io.EOF, and is no goodbye
		return io.EOF
	case errors.As(err, &timeout) && timeout.Timeout():
		return os.ErrDeadlineExceeded
	}
	return ErrBroken
}
