package introduction

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/backchannel/backchannel/protocol/identity"
)

// MaxLife is how long both have to answer at most, in minutes: 14 days.
const MaxLife = 14 * 24 * 60

// clocksApart is by how many minutes an introducer's clock may be ahead: a day.
const clocksApart = 24 * 60

// Answer is what one of the two said.
type Answer byte

// The answers.
const (
	AnswerNone Answer = iota
	AnswerNo
	AnswerYes
)

// String returns "none", "no" or "yes".
func (a Answer) String() string {
	switch a {
	case AnswerNone:
		return "none"
	case AnswerNo:
		return "no"
	case AnswerYes:
		return "yes"
	}
	return "unknown"
}

type progress byte

const (
	asking  progress = 1 + iota // not both have said yes
	passing                     // the share went to the inviter
	done                        // the reply went to the accepter
)

// An Introduction is the introducer's side. It has one caller at a time. Store it,
// see [Introduction.Append], in the commit that queues what it passes on.
type Introduction struct {
	progress progress
	expiry   uint32
	ids      [2]ID
	texts    [2]string
	answers  [2]Answer
	share    [shareSize]byte // while it waits for the inviter's yes
}

func index(side identity.Side) int { return int(side - identity.Inviter) }

// New begins an introduction. The inviter will make the invitation, so it should
// be the one that can be reached. It reads ofAccepter, what is said of the other,
// and the other reads ofInviter. The expiry is in minutes since 1970.
func New(ofInviter, ofAccepter string, expiry, now uint32, random io.Reader) (*Introduction, error) {
	if !plain(ofInviter) || !plain(ofAccepter) {
		return nil, ErrText
	}
	if expiry <= now || expiry-now > MaxLife {
		return nil, ErrExpiry
	}
	i := &Introduction{progress: asking, expiry: expiry, texts: [2]string{ofAccepter, ofInviter}}
	for n := range i.ids {
		if _, err := io.ReadFull(random, i.ids[n][:]); err != nil {
			return nil, fmt.Errorf("drawing an introduction: %w", err)
		}
	}
	return i, nil
}

// Ask returns the question for one of the two.
func (i *Introduction) Ask(side identity.Side) []byte {
	n := index(side)
	return ask(i.ids[n], side, i.expiry, i.texts[n])
}

// ID returns the ID that one of the two knows.
func (i *Introduction) ID(side identity.Side) ID { return i.ids[index(side)] }

// Text returns what one of the two reads of the other.
func (i *Introduction) Text(side identity.Side) string { return i.texts[index(side)] }

// Expiry is the minute since 1970 from which nothing comes of it any more.
func (i *Introduction) Expiry() uint32 { return i.expiry }

// Done reports whether the two have what they need, and this side has nothing
// left to do and nothing left to forget.
func (i *Introduction) Done() bool { return i.progress == done }

// Answers returns what both said. Before both have answered or the time is over
// it is not known to anybody: who learned one answer early could tell it on.
func (i *Introduction) Answers(now uint32) (inviter, accepter Answer, known bool) {
	if i.answers[0] != AnswerNone && i.answers[1] != AnswerNone || now >= i.expiry {
		return i.answers[0], i.answers[1], true
	}
	return AnswerNone, AnswerNone, false
}

// Receive takes a message of one of the two. If pass is not nil, it goes to the one
// whose ID it bears: the share to the inviter, whoever answered last, and the reply
// to the accepter. After an error nothing is changed.
func (i *Introduction) Receive(from identity.Side, m []byte, now uint32) (pass []byte, err error) {
	kind, id, body, err := split(m)
	switch {
	case err != nil:
		return nil, err
	case id != i.ids[index(from)]:
		return nil, ErrOrder
	case now >= i.expiry:
		return nil, ErrExpired
	}
	switch {
	case kind == messageReply && from == identity.Inviter && i.progress == passing:
		i.progress = done
		return message(messageReply, i.ids[1], body), nil
	case i.answers[index(from)] != AnswerNone:
		return nil, ErrOrder
	case kind == messageNo:
		i.answers[index(from)] = AnswerNo
		clear(i.share[:])
	case kind == messageYes && from == identity.Inviter:
		i.answers[0] = AnswerYes
	case kind == messageShare && [shareSize]byte(body) == [shareSize]byte{}:
		return nil, ErrFormat // zeros stand for no share in the store
	case kind == messageShare && from == identity.Accepter:
		i.answers[1] = AnswerYes
		if i.answers[0] != AnswerNo {
			copy(i.share[:], body)
		}
	default:
		return nil, ErrOrder
	}
	if i.answers != [2]Answer{AnswerYes, AnswerYes} {
		return nil, nil
	}
	i.progress = passing
	pass = message(messageShare, i.ids[0], i.share[:])
	clear(i.share[:])
	return pass, nil
}

// IntroductionSize is the length of a stored introduction in bytes.
const IntroductionSize = 2 + 4 + 2*16 + 2 + 2*(1+MaxText) + shareSize

// Append appends the stored form of i to b.
//
//	version 1 ‖ progress 1 ‖ expiry 4 ‖ ID for the inviter 16, for the accepter 16
//	‖ answer of the inviter 1, of the accepter 1 ‖ text for the inviter 129, for the
//	accepter 129 ‖ share, zeros if it does not wait
func (i *Introduction) Append(b []byte) []byte {
	b = append(b, version, byte(i.progress))
	b = binary.BigEndian.AppendUint32(b, i.expiry)
	b = append(append(b, i.ids[0][:]...), i.ids[1][:]...)
	b = append(b, byte(i.answers[0]), byte(i.answers[1]))
	b = appendText(appendText(b, i.texts[0]), i.texts[1])
	return append(b, i.share[:]...)
}

// Parse parses what Append made.
func Parse(b []byte) (*Introduction, error) {
	if len(b) != IntroductionSize || b[0] != version {
		return nil, ErrFormat
	}
	i := &Introduction{
		progress: progress(b[1]), expiry: binary.BigEndian.Uint32(b[2:]),
		ids: [2]ID{ID(b[6:22]), ID(b[22:38])}, answers: [2]Answer{Answer(b[38]), Answer(b[39])},
		share: [shareSize]byte(b[40+2*(1+MaxText):]),
	}
	for n := range i.texts {
		var err error
		if i.texts[n], err = parseText(b[40+n*(1+MaxText):]); err != nil {
			return nil, err
		}
	}
	both := i.answers == [2]Answer{AnswerYes, AnswerYes}
	waits := i.answers == [2]Answer{AnswerNone, AnswerYes}
	if i.progress < asking || i.progress > done || i.answers[0] > AnswerYes || i.answers[1] > AnswerYes ||
		both == (i.progress == asking) || waits == (i.share == [shareSize]byte{}) {
		return nil, ErrFormat
	}
	return i, nil
}
