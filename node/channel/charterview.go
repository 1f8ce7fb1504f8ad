package channel

import (
	"slices"
	"strconv"
	"time"

	"github.com/backchannel/backchannel/protocol/charter"
)

// A ChannelView is how a channel stands. Of one that was burned only the number is
// known; of one that is withheld, the number and the deadline.
type ChannelView struct {
	Number    uint32
	Burned    bool
	Passing   charter.Passing // Running or Withheld
	Phase     charter.Phase
	Deadline  time.Time // when all of it is burned
	OwnClosed bool
	Closed    bool // by the other side

	Agreed    *charter.Draft // what both accepted
	Own       *charter.Draft // of this side, without an answer
	Withdrawn bool           // Own was withdrawn, and the other side has not confirmed it
	Pending   *charter.Draft // of the other side, to be answered
	Lines     int            // texts in it

	Trust charter.Trust // of the own clock
	Off   time.Duration // how far it is ahead of the others
}

// Channels returns the channels beside the conversation that needs no charter, by
// number.
func (v *Conversation) Channels(now time.Time) []ChannelView {
	v.Lapse(now)
	v.now = now
	var list []ChannelView
	for n := uint32(2); n <= maxNumber; n++ {
		if v.used.has(n) || v.charters[n] != nil {
			list = append(list, v.channelView(n))
		}
	}
	return list
}

// Channel returns one of them.
func (v *Conversation) Channel(now time.Time, n uint32) (ChannelView, error) {
	if n == Open {
		return ChannelView{}, ErrNoCharter
	}
	list := v.Channels(now)
	if i := slices.IndexFunc(list, func(w ChannelView) bool { return w.Number == n }); i >= 0 {
		return list[i], nil
	}
	return ChannelView{}, ErrNoChannel
}

func (v *Conversation) channelView(n uint32) ChannelView {
	c := v.charters[n]
	if c == nil {
		return ChannelView{Number: n, Burned: true}
	}
	clock := v.clock()
	w := ChannelView{
		Number: n, Passing: c.Passed(clock), Phase: c.Phase(), Deadline: fromMinute(c.Deadline()), Trust: clock.Trust, Off: clock.Off,
	}
	if w.Passing != charter.Running {
		return w
	}
	w.OwnClosed, w.Closed = c.ClosedBy()
	w.Agreed, w.Pending = c.Agreed(), c.Pending()
	w.Own, w.Withdrawn = c.Own()
	for _, m := range v.messages {
		if m.Channel == n && m.Craft == NoCraft && m.Direction != Notice {
			w.Lines++
		}
	}
	return w
}

// TranscriptIn is Transcript of a channel.
func (v *Conversation) TranscriptIn(now time.Time, n uint32, after uint64) ([]Message, error) {
	if n <= Open {
		return v.Transcript(after), nil
	}
	v.Lapse(now)
	v.now = now
	if err := v.mayShow(n); err != nil {
		return nil, err
	}
	return v.transcript(n, after), nil
}

// mayShow refuses what is not shown: a channel that was burned or is withheld.
func (v *Conversation) mayShow(n uint32) error {
	switch {
	case n == Open:
		return nil
	case v.charters[n] == nil:
		return v.notThere(n)
	case v.withheld(n):
		return charter.ErrClock
	}
	return nil
}

// Current returns those of the lines that are still there and may be shown: since they
// were told of, their channel may have been burned.
func (v *Conversation) Current(now time.Time, lines []Message) []Message {
	v.Lapse(now)
	v.now = now
	return slices.DeleteFunc(slices.Clone(lines), func(m Message) bool {
		_, ok := v.find(m.Seq)
		return !ok || v.withheld(m.Channel)
	})
}

// in reports whether a line stands in a channel.
func (m *Message) in(n uint32) bool { return max(m.Channel, Open) == n }

func (v *Conversation) transcript(n uint32, after uint64) []Message {
	i, found := v.find(after)
	if found {
		i++
	}
	list := slices.DeleteFunc(slices.Clone(v.messages[i:]), func(m Message) bool { return !m.in(n) || m.hidden() })
	for i := range list {
		list[i] = v.shown(list[i])
	}
	return list
}

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }
