package identity

import (
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"
)

// A Link holds what two machines need before they can open a connection. Both
// hold all of it, so whatever libp2p signs with a host key, either could have
// signed; and each knows which peer to dial without anybody publishing it.
type Link struct {
	Network      secret.Key // key of the libp2p private network
	HostInviter  secret.Key // seed of the inviter's Ed25519 host key
	HostAccepter secret.Key // seed of the accepter's Ed25519 host key
	Box          secret.Key // root of the box keys that carry handshakes
}

// Host returns the host key seed of one side.
func (l Link) Host(s Side) secret.Key {
	if s == Inviter {
		return l.HostInviter
	}
	return l.HostAccepter
}

// DialLink derives the link of a contact from its dial secret, which comes out
// of the first session.
func DialLink(dial secret.Key) Link {
	return Link{
		Network:      label.DeriveKey(label.DialNetwork, dial),
		HostInviter:  label.DeriveKey(label.DialHostA, dial),
		HostAccepter: label.DeriveKey(label.DialHostB, dial),
		Box:          label.DeriveKey(label.WireContact, dial),
	}
}
