package channel

import (
	"time"

	"github.com/backchannel/backchannel/protocol/identity"
)

// Links returns the link secrets under which the peer can reach this machine and
// be reached. The first is the one to dial with. An inviter listens on the
// invitation's, too, until it ends, so that a second use is seen.
func (v *Conversation) Links(now time.Time) []LinkSecrets {
	var links []LinkSecrets
	if !v.c.dial.IsZero() {
		links = append(links, LinkSecrets{Link: identity.DialLink(v.c.dial), Side: v.c.side})
	}
	if inv, ok := v.invitationLink(); ok && v.invitationOfUse(inv, now) {
		links = append(links, LinkSecrets{Link: inv.Link(), Side: v.c.side, Invitation: true})
	}
	return links
}

// lateAnswer is how long after its end an accepter still asks: the inviter may
// have taken its card just in time, and been cut off.
const lateAnswer = 7 * 24 * time.Hour

// invitationOfUse reports whether connections are made under the invitation: till
// its end, and beyond it until the first session is confirmed.
func (v *Conversation) invitationOfUse(inv identity.Invitation, now time.Time) bool {
	switch {
	case now.Before(inv.Expiry):
		return true
	case v.s != nil && v.s.confirmed:
		return false
	case v.c.side == identity.Accepter:
		return v.c.hasPeer || now.Before(inv.Expiry.Add(lateAnswer))
	default:
		return v.c.hasPeer
	}
}

// LinkSecrets are the keys of one way to connect to a contact.
type LinkSecrets struct {
	Link       identity.Link
	Side       identity.Side // own
	Invitation bool          // the invitation's, not the contact's own
}

// invitationLink returns the invitation while it is of use.
func (v *Conversation) invitationLink() (identity.Invitation, bool) {
	if len(v.c.invitation) == 0 {
		return identity.Invitation{}, false
	}
	inv, err := identity.ParseBinary(v.c.invitation)
	return inv, err == nil
}
