package node

import (
	"context"
	"errors"
	"slices"

	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
)

// Avoid reads anew which relays the machine avoids. It reports whether the node is in its
// relay network; one that is not reads them when it is. It concerns no vault, so that it
// makes no difference whether somebody has unlocked one, or rests.
func (n *Node) Avoid(ctx context.Context) (taken bool, err error) {
	if d := n.current(); d != nil {
		err = d.do(ctx, func(d *desk) error {
			if taken = d.mail != nil; taken {
				d.mail.avoid()
			}
			return nil
		})
		if taken || err != nil && !errors.Is(err, ErrLocked) {
			return taken, err
		}
	}
	return n.cover.renew(ctx), nil
}

// Rejoin reads anew which relay network the machine is in, and how relays are dialled. A
// node that is online goes on as it is, and reads them when it locks or goes online again.
func (n *Node) Rejoin(ctx context.Context) { n.cover.renew(ctx) }

func (m *line) avoid() {
	m.avoided = m.relays.Avoided()
	m.turn(m.at, m.machine.SetAvoided(m.now(), m.unwanted()))
}

// unwanted is what the machine is to take for no guard: what is avoided, and relays for
// which founders vouch no more. Relays of operators are named by their IDs, too: the
// machine knows the operators of those alone that are in use.
func (m *line) unwanted() relayed.Avoided {
	a := relayed.Avoided{Operators: m.avoided.Operators, Relays: slices.Clone(m.avoided.Relays)}
	for id, v := range m.vouchers {
		if v.Revoked || m.avoids(id) {
			a.Relays = append(a.Relays, id)
		}
	}
	return a
}

// avoids reports whether a relay is avoided, by the operator that founders name.
func (m *line) avoids(id onion.ID) bool {
	operator := ""
	if v := m.vouchers[id]; v != nil {
		operator = v.Operator
	}
	return m.avoided.Has(id, operator)
}

// guards is the record of the guards without those that are avoided; nil if none is left.
func (m *line) guards() []byte {
	b := slices.Clone(m.relays.Guards())
	for at := b; len(at) >= guardRecord; at = at[guardRecord:] {
		if m.avoids(onion.ID(at[:onion.IDSize])) {
			clear(at[:guardRecord])
		}
	}
	if len(pinnedIn(b)) == 0 {
		return nil
	}
	return b
}

// mayChoose leaves of relays those that this side may choose for itself.
func (m *line) mayChoose(all []directory.Member) []directory.Member {
	return slices.DeleteFunc(slices.Clone(all), func(r directory.Member) bool { return m.avoids(r.ID) || m.avoided.Has(r.ID, r.Operator) })
}

// losers are the relays that lose packets, as far as this machine can tell.
func (m *line) losers() (all []RelaySeen) {
	for _, id := range m.machine.Bad() {
		all = append(all, RelaySeen{Operator: m.operatorOf(id), Address: m.placeOf(id), Losing: true})
	}
	return all
}

func (m *line) operatorOf(id onion.ID) string {
	if v := m.voucher(id); v != nil {
		return v.Operator
	}
	return ""
}
