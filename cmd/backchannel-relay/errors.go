package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"syscall"

	"github.com/backchannel/backchannel/node/p2p"
	"github.com/backchannel/backchannel/node/p2p/link"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/identity"
	known "github.com/backchannel/backchannel/relay/directory"
	"github.com/backchannel/backchannel/relay/drop"
)

// The exit codes, those of the program backchannel.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotRunning  = 3
	exitRefused     = 6
	exitNotInTime   = 7
	exitClosed      = 8
	exitUnreachable = 9
	exitCheckFailed = 10
	exitInterrupted = 130
)

// A fault is an error as a person and a script read it.
type fault struct {
	Code    string `json:"code"`
	Exit    int    `json:"exit"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Error implements error.
func (e *fault) Error() string { return e.Message }

// usage is an error in how the program was called.
func usage(message, hint string) error { return &fault{"usage", exitUsage, message, hint} }

const askAgain = "ask for the file once more, and compare the fingerprint: backchannel-relay network show network.pem"

// faults lists what is said of each error. The text is the error's own unless one stands
// here.
var faults = []struct {
	err  error
	code string
	exit int
	text string
	hint string
}{
	{directory.ErrSignature, "bad_signature", exitRefused, "a signature in the network file does not verify: it was altered after it was signed", askAgain},
	{directory.ErrNetwork, "other_network", exitRefused, "a part of the network file belongs to another network", askAgain},
	{directory.ErrFormat, "bad_network", exitRefused, "this is no network file, or it was cut or altered", askAgain},
	{directory.ErrUnsigned, "unsigned", exitRefused, "too few founders have signed the network file", "let another founder sign it: backchannel-relay network sign network.pem --key founder.key"},
	{directory.ErrFounder, "not_a_founder", exitRefused, "the key is of none of this network's founders", "backchannel-relay network show network.pem"},
	{known.ErrWait, "started_too_often", exitRefused, "the relay started six times in this epoch", "wait for the next epoch, then: backchannel-relay run"},
	{known.ErrNotVouched, "not_vouched", exitRefused, "the founders do not vouch for this relay", "ask the founders for a new network file, then: backchannel-relay check"},
	{drop.ErrInUse, "in_use", exitFailed, "another relay has this home open", "backchannel-relay status"},
	{drop.ErrExpiry, "other_boxes", exitFailed, "the boxes in this home belong to a network that keeps them for another time", "move the folder drop away, then: backchannel-relay run"},
	{drop.ErrFull, "disk_full", exitFailed, "the disk is full", "free some space, then: backchannel-relay run"},
	{drop.ErrDamaged, "boxes_damaged", exitFailed, "the keys of the boxes cannot be read", "move the folder drop away, then: backchannel-relay run"},
	{link.ErrListen, "port_in_use", exitUnreachable, "the address to listen on is not this machine's, or another program uses the port", "change listen in relay.toml, then: backchannel-relay run"},
	{p2p.ErrProxy, "bad_proxy", exitFailed, "the proxy must be socks5://host:port", "mend proxy in relay.toml, then: backchannel-relay check"},
	{identity.ErrPlace, "bad_address", exitUsage, "the address is malformed", "give host and port: backchannel-relay init --address 203.0.113.7:4129 --operator alpha"},
	{context.DeadlineExceeded, "timeout", exitNotInTime, "it took too long", "repeat it with a longer --timeout"},
	{context.Canceled, "interrupted", exitInterrupted, "interrupted", ""},
}

// describe turns any error into one that can be shown.
func describe(err error) *fault {
	var e *fault
	if errors.As(err, &e) {
		return e
	}
	for _, f := range faults {
		if errors.Is(err, f.err) {
			text := f.text
			if text == "" {
				text = f.err.Error()
			}
			return &fault{f.code, f.exit, text, f.hint}
		}
	}
	return &fault{"failed", exitFailed, withoutPath(err), ""}
}

// withoutPath is the text of an error less the paths and addresses that errors of the
// system carry.
func withoutPath(err error) string {
	var file *fs.PathError
	var moved *os.LinkError
	var network *net.OpError
	switch {
	case errors.As(err, &file):
		return "a file could not be used (" + file.Op + "): " + bare(file.Err)
	case errors.As(err, &moved):
		return "a file could not be renamed: " + bare(moved.Err)
	case errors.As(err, &network):
		return "the network could not be used: " + bare(network.Err)
	default:
		return err.Error()
	}
}

func bare(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	return "input or output error"
}
