package communique

// A Role is a side's part in an exchange.
type Role uint8

// The roles. The initiator alone can turn the pre-signatures into signatures; so
// the side with more to lose should have this role.
const (
	Initiator Role = iota + 1
	Responder
)

// String returns "initiator" or "responder".
func (r Role) String() string {
	switch r {
	case Initiator:
		return "initiator"
	case Responder:
		return "responder"
	}
	return "no role"
}

func (r Role) other() Role { return Initiator + Responder - r }

// A Power is what one side holds of the other's signature, and so what it could
// walk away with.
type Power uint8

// The powers, in rising order.
const (
	// PowerNone: nothing that anybody would have to believe.
	PowerNone Power = iota
	// PowerWaiting: the other's pre-signature. It proves nothing, and becomes a
	// signature only if the other side lets a signature of either side come out.
	PowerWaiting
	// PowerBoth: both signatures, to publish or to show to whom it likes, now or at
	// any time later, also after the expiry. Shown in private, the other side does
	// not learn of it and gets nothing for it.
	PowerBoth
)

// String returns "none", "waiting" or "both".
func (p Power) String() string {
	switch p {
	case PowerNone:
		return "none"
	case PowerWaiting:
		return "waiting"
	case PowerBoth:
		return "both"
	}
	return "unknown"
}

// A Position says what each side could do if the exchange stopped here.
type Position struct{ Own, Other Power }

// Position says how things stand for this side, taking it that all it sent has
// arrived.
func (x *Exchange) Position() Position { return position(x.role, x.seen) }

// AfterSend says how things will stand once this side has sent its next message.
// Before the one that holds its pre-signature (see [Exchange.SignsNext]) a person
// must be shown it. When it is not this side's turn it equals Position.
func (x *Exchange) AfterSend() Position {
	if !x.Turn() {
		return x.Position()
	}
	return position(x.role, x.seen+1)
}

// position is the whole table of who can walk away with what, by the number of
// messages that exist.
func position(role Role, seen uint8) Position {
	var initiator, responder Power
	if seen >= messagePreSignA {
		responder = PowerWaiting
	}
	if seen >= messagePreSignB {
		initiator = PowerBoth
	}
	if seen >= messageRelease {
		responder = PowerBoth
	}
	if role == Initiator {
		return Position{initiator, responder}
	}
	return Position{responder, initiator}
}
