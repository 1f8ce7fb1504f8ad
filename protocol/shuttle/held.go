package shuttle

import (
	"encoding/binary"
	"unicode/utf8"
)

// MaxText is the longest text that is carried, in bytes.
const MaxText = 59_000

// TextMessage returns the message that carries a text: from its sender to the
// mediator, and the same bytes from there to the other one.
func TextMessage(text string) ([]byte, error) {
	if text == "" || len(text) > MaxText || !utf8.ValidString(text) {
		return nil, ErrText
	}
	return append([]byte{version, byte(messageText)}, text...), nil
}

// ParseText returns the text in a message that TextMessage made.
func ParseText(b []byte) (string, error) {
	if len(b) < 2 || b[0] != version || b[1] != byte(messageText) {
		return "", ErrFormat
	}
	text := string(b[2:])
	if _, err := TextMessage(text); err != nil {
		return "", ErrFormat
	}
	return text, nil
}

// A Held is a text that waits at the mediator. The number and the sender are for
// his eyes: neither goes on with it.
type Held struct {
	Number uint32
	From   Role
	Text   string
}

// Hold takes a message of one of the two.
func Hold(number uint32, from Role, message []byte) (Held, error) {
	text, err := ParseText(message)
	if err != nil {
		return Held{}, err
	}
	if !from.valid() {
		return Held{}, ErrFormat
	}
	return Held{Number: number, From: from, Text: text}, nil
}

// Release returns the message for the other one. Forget the text then.
func (h Held) Release() (to Role, message []byte, err error) {
	message, err = TextMessage(h.Text)
	return h.From.Other(), message, err
}

// Append appends the stored form of h to b: number 4 ‖ from 1 ‖ message.
func (h Held) Append(b []byte) []byte {
	b = append(binary.BigEndian.AppendUint32(b, h.Number), byte(h.From), version, byte(messageText))
	return append(b, h.Text...)
}

// ParseHeld parses what Append made.
func ParseHeld(b []byte) (Held, error) {
	if len(b) < 5 {
		return Held{}, ErrFormat
	}
	return Hold(binary.BigEndian.Uint32(b), Role(b[4]), b[5:])
}
