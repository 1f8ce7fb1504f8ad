package sim

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// Truth is what an attacker would like to know, in seconds from the start of the trace.
type Truth struct {
	Duration      float64        `json:"duration"`
	Users         []string       `json:"users"`
	Relays        []string       `json:"relays"`
	Messages      []Message      `json:"messages"`
	Conversations []Conversation `json:"conversations"`
	// Silent are contacts who do not talk.
	Silent [][2]string `json:"silent"`
}

// A Message is a text or a file.
type Message struct {
	Sent      float64  `json:"t"` // when the person pressed send
	From      string   `json:"from"`
	To        string   `json:"to"`
	Size      int      `json:"size"`      // bytes of content
	Delivered *float64 `json:"delivered"` // when the peer's program had all of it; null: it had not by the end
}

// A Conversation is a stretch of time in which two people talk.
type Conversation struct {
	A     string  `json:"a"`
	B     string  `json:"b"`
	Start float64 `json:"start"`
	End   float64 `json:"end"`
}

// Write writes it as JSON.
func (t *Truth) Write(out io.Writer) error {
	own := *t
	if own.Messages == nil {
		own.Messages = []Message{}
	}
	if own.Conversations == nil {
		own.Conversations = []Conversation{}
	}
	if own.Silent == nil {
		own.Silent = [][2]string{}
	}
	e := json.NewEncoder(out)
	e.SetIndent("", " ")
	return e.Encode(own)
}

// Summary says in words what became of messages.
func (t *Truth) Summary() string {
	var took []float64
	for _, m := range t.Messages {
		if m.Delivered != nil {
			took = append(took, *m.Delivered-m.Sent)
		}
	}
	s := fmt.Sprintf("%d messages in %d conversations, %d delivered by the end", len(t.Messages), len(t.Conversations), len(took))
	if len(took) > 0 {
		slices.Sort(took)
		s += fmt.Sprintf("; median %.0f s, 95 %% in %.0f s", took[len(took)/2], took[len(took)*95/100])
	}
	return s + "\n"
}
