package control

import (
	"context"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/communique"
)

// Draft is a version of a text that both may sign.
type Draft struct {
	Version   uint32 `json:"version"`
	Direction Word   `json:"direction"`
	State     Word   `json:"state,omitempty"` // of one of yours
	Time      string `json:"time"`
	Digest    string `json:"sha256"`
	Text      string `json:"text"`
}

// Signing is how the signing of a version stands.
type Signing struct {
	Version    uint32   `json:"version"`
	State      Word     `json:"state"`
	Until      string   `json:"until"`
	Role       Word     `json:"role,omitempty"`        // of this side, once it has taken part
	OwnKey     string   `json:"your_key,omitempty"`    // made for this text alone
	OwnWords   []string `json:"your_words,omitempty"`  // of that key
	TheirKey   string   `json:"their_key,omitempty"`   //
	TheirWords []string `json:"their_words,omitempty"` //

	// What each could walk away with now, and after your next step.
	You      Word `json:"you_could_have"`
	They     Word `json:"they_could_have"`
	YouNext  Word `json:"you_next"`
	TheyNext Word `json:"they_next"`
}

// Requests and answers about communiqués.
type (
	// DraftRequest holds a text, or says that something may be published together.
	DraftRequest struct {
		Name    string `json:"name"`
		Channel uint32 `json:"channel,omitempty"` // 0: the conversation that needs no charter
		Text    string `json:"text,omitempty"`
		Agree   bool   `json:"agree,omitempty"` // without a text
	}
	// CommuniqueRequest names a channel of a contact.
	CommuniqueRequest struct {
		Name    string `json:"name"`
		Channel uint32 `json:"channel,omitempty"` // 0: the conversation that needs no charter
	}
	// SignRequest names a version; see channel.Conversation.Sign.
	SignRequest struct {
		Name    string `json:"name"`
		Channel uint32 `json:"channel,omitempty"` // 0: the conversation that needs no charter
		Version uint32 `json:"version"`
		Digest  string `json:"sha256,omitempty"` // of the text that the person was shown; needed to sign
		Until   string `json:"until,omitempty"`  // of a proposal
		Agreed  bool   `json:"agreed,omitempty"` // a person has read who can walk away with what
		Leave   bool   `json:"leave,omitempty"`  // end the signing that is under way instead
	}
	// DraftAnswer describes one draft.
	DraftAnswer struct {
		V     int    `json:"v"`
		Draft *Draft `json:"draft,omitempty"` // none, if it was only agreed
	}
	// SigningAnswer describes a signing.
	SigningAnswer struct {
		V       int     `json:"v"`
		Signing Signing `json:"signing"`
	}
	// CommuniqueAnswer lists drafts and signings with a contact.
	CommuniqueAnswer struct {
		V         int       `json:"v"`
		Contact   Contact   `json:"contact"`
		Channel   uint32    `json:"channel,omitempty"` // none: the conversation that needs no charter
		YouAgree  bool      `json:"you_agree"`         // that something may be published together
		TheyAgree bool      `json:"they_agree"`
		Drafts    []Draft   `json:"drafts"`
		Signings  []Signing `json:"signings"`
	}
	// PublishAnswer holds what is published.
	PublishAnswer struct {
		V    int    `json:"v"`
		File []byte `json:"file"`
	}
)

// communiqueRoutes are the calls about communiqués.
func (s *Server) communiqueRoutes(mux *http.ServeMux) {
	n := s.node
	handle(mux, "communique/draft", func(ctx context.Context, r DraftRequest) (DraftAnswer, error) {
		if r.Agree {
			return DraftAnswer{V: Version}, n.AgreePublishing(ctx, r.Name, max(r.Channel, channel.Open))
		}
		d, err := n.DraftCommunique(ctx, r.Name, max(r.Channel, channel.Open), r.Text)
		out := draftOf(d)
		return DraftAnswer{Version, &out}, err
	})
	handle(mux, "communique/list", func(ctx context.Context, r CommuniqueRequest) (CommuniqueAnswer, error) {
		v, w, err := n.Communique(ctx, r.Name, max(r.Channel, channel.Open))
		a := CommuniqueAnswer{
			V: Version, Contact: contactOf(v, s.now()), Channel: r.Channel, YouAgree: w.OwnAgreed, TheyAgree: w.PeerAgreed, Drafts: []Draft{}, Signings: []Signing{},
		}
		for _, d := range w.Drafts {
			a.Drafts = append(a.Drafts, draftOf(d))
		}
		for _, x := range w.Signings {
			a.Signings = append(a.Signings, signingOf(x))
		}
		return a, err
	})
	handle(mux, "communique/sign", s.sign)
	handle(mux, "communique/publish", func(ctx context.Context, r SignRequest) (PublishAnswer, error) {
		file, err := n.CommuniqueFile(ctx, r.Name, max(r.Channel, channel.Open), r.Version)
		return PublishAnswer{Version, file}, err
	})
}

func (s *Server) sign(ctx context.Context, r SignRequest) (SigningAnswer, error) {
	if r.Leave {
		return SigningAnswer{V: Version}, s.node.LeaveSigning(ctx, r.Name, max(r.Channel, channel.Open))
	}
	var until time.Time
	if r.Until != "" {
		var err error
		if until, err = time.Parse(time.RFC3339, r.Until); err != nil {
			return SigningAnswer{}, &Error{Code: "bad_request", Exit: ExitUsage, Message: "the time is malformed"}
		}
	}
	shown := channel.ShownDraft{Version: r.Version}
	if b, err := hex.DecodeString(r.Digest); err != nil || copy(shown.Digest[:], b) != len(shown.Digest) {
		return SigningAnswer{}, &Error{Code: "bad_request", Exit: ExitUsage, Message: "the digest is malformed"}
	}
	x, err := s.node.SignCommunique(ctx, r.Name, max(r.Channel, channel.Open), shown, until, r.Agreed)
	return SigningAnswer{Version, signingOf(x)}, err
}

func draftOf(d channel.DraftView) Draft {
	out := Draft{
		Version: d.Version, Direction: Word(d.Direction.String()), Time: stamp(d.When), Digest: hex.EncodeToString(d.Digest[:]), Text: d.Text,
	}
	if d.Direction == channel.Out {
		out.State = Word(d.Delivery.String())
	}
	return out
}

func signingOf(x channel.SigningView) Signing {
	out := Signing{
		Version: x.Version, State: Word(x.State.String()), Until: stamp(x.Until),
		You: Word(x.Now.Own.String()), They: Word(x.Now.Other.String()), YouNext: Word(x.Next.Own.String()), TheyNext: Word(x.Next.Other.String()),
	}
	if x.Own != (communique.PublicKey{}) {
		words := x.Own.Words()
		out.OwnKey, out.OwnWords = hex.EncodeToString(x.Own[:]), words[:]
		if out.Role = "responder"; x.Initiator {
			out.Role = "initiator"
		}
	}
	if x.State == channel.SigningDone {
		out.Role = "" // it is not kept, and the file does not tell it
	}
	if x.Peer != (communique.PublicKey{}) {
		words := x.Peer.Words()
		out.TheirKey, out.TheirWords = hex.EncodeToString(x.Peer[:]), words[:]
	}
	return out
}
