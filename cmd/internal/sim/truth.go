package sim

import (
	"encoding/json"
	"io"
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
