package control

import (
	"context"
	"net/http"

	"github.com/backchannel/backchannel/node/journal"
)

// LogEntry is one thing that the node remembers. Fields that do not apply are
// left out; none names anybody or anything.
type LogEntry struct {
	At     string `json:"at"`
	Event  Word   `json:"event"`
	Link   uint32 `json:"link,omitempty"` // counts connections since the node started
	State  Word   `json:"state,omitempty"`
	Count  Word   `json:"count,omitempty"` // a number, or a bucket
	Reason Word   `json:"reason,omitempty"`
	Took   Word   `json:"took,omitempty"` // a bucket
}

// Requests and answers about the journal.
type (
	// LogAnswer lists what is remembered, oldest first.
	LogAnswer struct {
		V       int        `json:"v"`
		Level   string     `json:"level"`
		Entries []LogEntry `json:"entries"`
	}
	// LevelRequest sets the level, or only asks for it if it is empty.
	LevelRequest struct {
		Level string `json:"level,omitempty"`
	}
	// LevelAnswer holds the level.
	LevelAnswer struct {
		V     int    `json:"v"`
		Level string `json:"level"`
	}
)

func (s *Server) logRoutes(mux *http.ServeMux) {
	handle(mux, "log/show", func(context.Context, Empty) (LogAnswer, error) {
		a := LogAnswer{V: Version, Level: s.node.LogLevel().String(), Entries: []LogEntry{}}
		for _, e := range s.node.Log() {
			a.Entries = append(a.Entries, logEntryOf(e))
		}
		return a, nil
	})
	handle(mux, "log/level", func(_ context.Context, r LevelRequest) (LevelAnswer, error) {
		if r.Level != "" {
			if err := s.setLevel(r.Level); err != nil {
				return LevelAnswer{}, err
			}
		}
		return LevelAnswer{Version, s.node.LogLevel().String()}, nil
	})
}

func (s *Server) setLevel(word string) error {
	for _, l := range journal.Levels() {
		if l.String() == word {
			s.node.SetLogLevel(l)
			return nil
		}
	}
	return &Error{Code: "bad_level", Exit: ExitUsage, Message: "there is no such level; levels are off, normal and debug", Hint: "backchannel log level normal"}
}

func logEntryOf(e journal.Entry) LogEntry {
	shown := LogEntry{
		At: stamp(e.At), Event: Word(e.Event.String()), Link: e.Link.Number(), State: Word(e.State.String()),
		Reason: Word(e.Reason.String()), Took: Word(e.Took.String()),
	}
	if e.Count != (journal.Count{}) {
		shown.Count = Word(e.Count.String())
	}
	return shown
}
