package control

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/forge"
)

type (
	// RenameRequest gives a contact another name.
	RenameRequest struct {
		Name string `json:"name"`
		New  string `json:"new_name"`
	}
	// EditRequest gives a line another text; of a file: the name that is shown.
	EditRequest struct {
		Name string `json:"name"`
		Seq  uint64 `json:"number"`
		Text string `json:"text"`
	}
	// BurnAnswer names what a burning or a removal could not delete: paths of files
	// that were coming. Nothing else knows of them any more.
	BurnAnswer struct {
		V    int      `json:"v"`
		Left []string `json:"part_files_left,omitempty"`

		KeyFile Word `json:"key_file,omitempty"` // "new_secret" if the vault has one
	}
)

// talkRoutes are the calls that change what is kept of a contact.
func (s *Server) talkRoutes(mux *http.ServeMux) {
	n := s.node
	handle(mux, "contact/rename", func(ctx context.Context, r RenameRequest) (ContactAnswer, error) {
		v, err := n.Rename(ctx, r.Name, r.New)
		return ContactAnswer{Version, contactOf(v, s.now())}, err
	})
	handle(mux, "contact/remove", func(ctx context.Context, r NameRequest) (BurnAnswer, error) {
		left, err := n.RemoveContact(ctx, r.Name)
		return s.burned(ctx, left), err
	})
	handle(mux, "burn", func(ctx context.Context, r NameRequest) (BurnAnswer, error) {
		left, err := n.Burn(ctx, r.Name)
		return s.burned(ctx, left), err
	})
	// Both answer with the line as it was, but without its text.
	handle(mux, "message/edit", func(ctx context.Context, r EditRequest) (MessageAnswer, error) {
		m, err := n.EditMessage(ctx, r.Name, r.Seq, r.Text)
		return changedAnswer(m), err
	})
	handle(mux, "message/remove", func(ctx context.Context, r RecallRequest) (MessageAnswer, error) {
		m, err := n.RemoveMessage(ctx, r.Name, r.Seq)
		return changedAnswer(m), err
	})
	// For a vault that was burned: its keys are wiped, and then the node ends.
	handle(mux, "quit", func(context.Context, Empty) (Done, error) {
		n.Quit() // the answer says that the keys are wiped, and that nothing is written
		time.AfterFunc(10*time.Millisecond, s.stop)
		return done, nil
	})
}

func (s *Server) burned(ctx context.Context, left []string) BurnAnswer {
	a := BurnAnswer{V: Version, Left: left}
	if keyed, err := s.node.HasKeyFile(ctx); keyed && err == nil {
		a.KeyFile = "new_secret"
	}
	return a
}

func changedAnswer(m channel.Message) MessageAnswer {
	shown := messageOf("", m)
	shown.Text = ""
	return MessageAnswer{V: Version, Message: shown}
}

// storedLines are the lines of a forgery that begins with what is stored.
func (s *Server) storedLines(ctx context.Context, r ForgeRequest) ([]forge.Line, error) {
	stored, err := s.node.Read(ctx, r.Name, 0)
	if err != nil {
		return nil, err
	}
	altered := map[uint64]string{}
	for _, c := range r.Change {
		if c.Text == "" {
			return nil, channel.ErrEmptyText
		}
		altered[c.Seq] = c.Text
	}
	wanted := len(altered) + len(r.Drop)
	var lines []forge.Line
	for _, m := range stored {
		if m.Direction == channel.Notice {
			continue
		}
		if slices.Contains(r.Drop, m.Seq) {
			wanted--
			continue
		}
		l := forge.Line{FromPeer: m.Direction == channel.In, Minute: m.Minute, Text: channel.CraftText(m)}
		if m.File {
			l.Text = "file: " + m.Text
		}
		if text, ok := altered[m.Seq]; ok {
			l.Text = text
			wanted--
		}
		lines = append(lines, l)
	}
	if wanted != 0 { // a number that is no message's, or one that stands twice
		return nil, channel.ErrNoMessage
	}
	return lines, nil
}
