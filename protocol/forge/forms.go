package forge

import (
	"strconv"

	"github.com/backchannel/backchannel/protocol/communique"
	"github.com/backchannel/backchannel/protocol/mandate"
	"github.com/backchannel/backchannel/protocol/sounding"
	"github.com/backchannel/backchannel/protocol/wire"
)

// What a frame of kind mandate says stands in its first byte: docs/spec/frame.md.
const (
	mandateAsk byte = 1 + iota
	mandateKey
	mandateShown
	mandateOver
)

// Likewise of a communiqué: docs/spec/communique.md.
const (
	communiqueAgree byte = 1 + iota
	communiqueDraft
	communiqueStep
	communiqueLeave
	tagSize     = 8 // of an exchange of signatures
	draftHeader = 3
)

// Likewise of a sounding: docs/spec/sounding.md.
const (
	soundingCall byte = 1 + iota
	soundingStep
	callSize   = 9
	stepHeader = 5
)

// wellFormed reports whether a message of a mandate, a communiqué or a sounding has
// the form that a machine takes.
func wellFormed(l Line) bool {
	if l.Channel != 0 || l.Text == "" {
		return false
	}
	what, body := l.Text[0], []byte(l.Text[1:])
	switch l.Kind {
	case wire.FrameMandate:
		return mandateForm(what, body)
	case wire.FrameCommunique:
		return communiqueForm(what, body)
	case wire.FrameSounding:
		return soundingForm(what, len(l.Text), body)
	default:
		return false
	}
}

func mandateForm(what byte, body []byte) bool {
	var err error
	switch what {
	case mandateAsk:
		_, err = mandate.ParseKey(body)
	case mandateKey:
		if len(body) != 2*mandate.KeySize {
			return false
		}
		if _, err = mandate.ParseKey(body[:mandate.KeySize]); err == nil {
			_, err = mandate.ParseKey(body[mandate.KeySize:])
		}
	case mandateShown:
		_, err = mandate.Parse(body)
	case mandateOver:
		return len(body) == mandate.WithdrawalSize
	default:
		return false
	}
	return err == nil
}

func communiqueForm(what byte, body []byte) bool {
	switch what {
	case communiqueAgree:
		return len(body) == 0
	case communiqueDraft:
		return len(body) >= draftHeader-1 && communique.CheckText(string(body[draftHeader-1:])) == nil
	case communiqueStep:
		return len(body) > tagSize && communique.IsMessage(body[tagSize:])
	case communiqueLeave:
		return len(body) == tagSize
	}
	return false
}

func soundingForm(what byte, size int, body []byte) bool {
	switch what {
	case soundingCall:
		return size == callSize
	case soundingStep:
		return size > stepHeader && sounding.IsMessage(body[stepHeader-1:])
	}
	return false
}

// toolSummary is what a line of these three says.
func toolSummary(l Line) string {
	if !wellFormed(l) {
		return "<malformed>"
	}
	switch what := l.Text[0]; l.Kind {
	case wire.FrameMandate:
		if m, err := mandate.Parse([]byte(l.Text[1:])); err == nil {
			return "<mandate: " + m.Scope + ", until " + m.NotAfter.Format("2 Jan 2006 15:04 UTC") + ">"
		}
		return [...]string{mandateAsk: "<mandate: asks for a key>", mandateKey: "<mandate: tells a key>", mandateOver: "<mandate: a withdrawal>"}[what]
	case wire.FrameCommunique:
		switch what {
		case communiqueAgree:
			return "<communiqué: something may be published>"
		case communiqueDraft:
			return "<communiqué: draft> " + l.Text[draftHeader:]
		case communiqueStep:
			return "<communiqué: step " + strconv.Itoa(int(l.Text[1+tagSize+1])) + " of 7>"
		}
		return "<communiqué: does not go on>"
	default:
		return "<sounding>"
	}
}
