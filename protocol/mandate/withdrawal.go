package mandate

import (
	"encoding/binary"
	"time"

	"github.com/backchannel/backchannel/protocol/label"
)

// WithdrawalSize is the length of an encoded withdrawal in bytes.
const WithdrawalSize = withdrawalBody + tagSize

const withdrawalBody = 1 + 2*KeySize + 16 + 4

// A Withdrawal ends a mandate before its time. Whoever carries it can drop it but
// not make one. It can be forgotten when the mandate would have ended.
type Withdrawal struct {
	Authority PublicKey
	Listener  PublicKey
	Serial    Serial
	NotAfter  time.Time // of the mandate
}

// Of reports whether w is about m.
func (w Withdrawal) Of(m Mandate) bool {
	return w.Authority == m.Authority && w.Listener == m.Listener && w.Serial == m.Serial && w.NotAfter.Equal(m.NotAfter)
}

// Withdraw makes the withdrawal of m. The listener's key makes the same one.
func Withdraw(own *Private, m Mandate) ([]byte, error) {
	k, err := pairKey(own, m.Authority, m.Listener)
	if err != nil {
		return nil, err
	}
	defer k.Wipe()
	b := make([]byte, 0, WithdrawalSize)
	b = append(b, version)
	b = append(b, m.Authority[:]...)
	b = append(b, m.Listener[:]...)
	b = append(b, m.Serial[:]...)
	b = binary.BigEndian.AppendUint32(b, minutes(m.NotAfter))
	return appendTag(label.MandateWithdraw, k, b), nil
}

// OpenWithdrawal checks a withdrawal for this listener.
func OpenWithdrawal(listener *Private, b []byte) (Withdrawal, error) {
	if len(b) != WithdrawalSize || b[0] != version {
		return Withdrawal{}, ErrFormat
	}
	w := Withdrawal{
		Authority: PublicKey(b[1:33]), Listener: PublicKey(b[33:65]),
		Serial: Serial(b[65:81]), NotAfter: fromMinutes(binary.BigEndian.Uint32(b[81:])),
	}
	if listener.public != w.Listener {
		return Withdrawal{}, ErrRefused
	}
	k, err := pairKey(listener, w.Authority, w.Listener)
	if err != nil {
		return Withdrawal{}, err
	}
	defer k.Wipe()
	if !tagged(label.MandateWithdraw, k, b) {
		return Withdrawal{}, ErrRefused
	}
	return w, nil
}

// Concerns reports whether b, which nobody has checked, says that m is withdrawn:
// for the envoy, who has no key to check it with and can only carry it.
func Concerns(b []byte, m Mandate) bool {
	if len(b) != WithdrawalSize || b[0] != version {
		return false
	}
	return PublicKey(b[1:33]) == m.Authority && PublicKey(b[33:65]) == m.Listener &&
		Serial(b[65:81]) == m.Serial && binary.BigEndian.Uint32(b[81:]) == minutes(m.NotAfter)
}
