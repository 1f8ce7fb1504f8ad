// Package control is the local interface of a running node: HTTP and JSON over a
// Unix socket that only its owner can open (mode 0600, in a folder of mode 0700).
// The command line is a client of it.
//
// Every call is a POST to /v1/<name> with one JSON object; the answer is one
// object with "v":1, or, for follow, one object a line. Fields are only ever
// added. States and kinds are fixed words: see Word. Errors carry a code, the exit
// code of the command line and a hint.
package control

import (
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
)

// Version stands in every answer.
const Version = 1

// Contact is a contact as it is shown.
type Contact struct {
	Number      uint32 `json:"number"`
	Name        string `json:"name"`
	Short       string `json:"short"` // the name as it is typed
	Stage       Word   `json:"stage"`
	Verified    Word   `json:"verified"` // see channel.Mark
	VerifiedAt  string `json:"verified_at,omitempty"`
	UsedTwice   bool   `json:"invitation_used_twice,omitempty"`
	Strict      bool   `json:"strict,omitempty"`
	Paused      bool   `json:"paused,omitempty"`
	OwnConsent  bool   `json:"you_said_go_on,omitempty"`
	PeerConsent bool   `json:"they_said_go_on,omitempty"`
	Connected   bool   `json:"connected"`
	HeardFrom   string `json:"last_heard_from,omitempty"` // three hours that hold the moment
	HeardTo     string `json:"last_heard_to,omitempty"`
	Waiting     int    `json:"not_confirmed"`               // messages
	Proposed    int    `json:"proposed_charters,omitempty"` // of theirs, which wait for an answer
	WindowFull  bool   `json:"window_full,omitempty"`
	WordsReady  bool   `json:"words_ready"`
	Reachable   bool   `json:"they_can_be_dialled"`
	Invitation  Word   `json:"invitation,omitempty"` // how it stands
	Made        string `json:"made"`
	Expires     string `json:"expires,omitempty"`
	ClockOff    int64  `json:"clock_off_seconds,omitempty"`

	Introduced   bool   `json:"introduced,omitempty"`        // the contact came of an introduction
	IntroducedBy string `json:"introduced_by,omitempty"`     // the name of who introduced it, while that is a contact
	OtherRelays  bool   `json:"sees_other_relays,omitempty"` // see channel.View
	OnlyRoute    Word   `json:"only_route,omitempty"`        // by which it is talked to, if not by both: see channel.Policy
}

// Message is a message as it is shown.
type Message struct {
	Contact   string `json:"contact,omitempty"`
	Seq       uint64 `json:"number"`
	Direction Word   `json:"direction"`
	State     Word   `json:"state,omitempty"`
	Time      string `json:"time"`
	Text      string `json:"text"`              // of a file: its name
	File      bool   `json:"file,omitempty"`    // the line is about a file: see file/list
	Craft     Word   `json:"craft,omitempty"`   // the line is of a tool of statecraft, as "mandate"
	Channel   uint32 `json:"channel,omitempty"` // none: the conversation that needs no charter
}

// File is a file as it is shown.
type File struct {
	Seq       uint64 `json:"number"`
	Direction Word   `json:"direction"`
	Name      string `json:"name"` // as its sender calls it
	Size      uint64 `json:"size"`
	Done      uint64 `json:"done"` // bytes that are known to be with the receiver
	State     Word   `json:"state"`
	Path      string `json:"path,omitempty"` // where it was put, of one that came
	Trouble   Word   `json:"trouble,omitempty"`
	Time      string `json:"time"`
	Channel   uint32 `json:"channel,omitempty"`          // none: the conversation that needs no charter
	Boxed     uint64 `json:"in_mailbox,omitempty"`       // bytes that drops have for the receiver, beside done
	Expected  int64  `json:"expected_seconds,omitempty"` // until it is there over relays, if both machines are on
}

// Requests and answers, by the name of the call.
type (
	// Empty is the request of calls without arguments.
	Empty struct{}
	// Done is the answer of calls that return nothing.
	Done struct {
		V int `json:"v"`
	}
	// UnlockRequest holds the passphrase.
	UnlockRequest struct {
		Passphrase []byte `json:"passphrase"`
		KeyFile    string `json:"key_file,omitempty"` // its path; empty: where the settings say
	}
	// StatusAnswer describes the node.
	StatusAnswer struct {
		V          int    `json:"v"`
		State      Word   `json:"state"`
		PID        int    `json:"pid"`
		Started    string `json:"started"`
		Version    string `json:"version"`
		LocksAt    string `json:"locks_at,omitempty"`
		Failed     string `json:"failed,omitempty"`      // why it locked by itself
		FailedCode string `json:"failed_code,omitempty"` // as errors have it
		DiskFull   bool   `json:"disk_full,omitempty"`
		VaultFull  bool   `json:"vault_full,omitempty"`
		Online     bool   `json:"online"`
		Listening  bool   `json:"listening"`
		Address    string `json:"address,omitempty"`
		Proxy      bool   `json:"proxy"`

		RelayNetwork *RelayNetwork `json:"relay_network,omitempty"` // if the machine is in one
		Cover        bool          `json:"cover,omitempty"`         // not online: what goes to relays is cover, and nothing is received
		Contacts     []Contact     `json:"contacts,omitempty"`

		LastBackup  string `json:"last_backup,omitempty"`
		NotBackedUp int    `json:"not_in_a_backup,omitempty"` // contacts, or how they were verified since
	}
	// InviteRequest asks for an invitation.
	InviteRequest struct {
		Name    string `json:"name"`
		Seconds int64  `json:"seconds"`
		Strict  bool   `json:"strict,omitempty"`
		Direct  bool   `json:"direct,omitempty"` // meet at this machine's address, though there is a relay network
	}
	// InviteAnswer holds the line to hand over.
	InviteAnswer struct {
		V          int     `json:"v"`
		Invitation string  `json:"invitation"`
		Contact    Contact `json:"contact"`
	}
	// AcceptRequest holds an invitation that somebody else made.
	AcceptRequest struct {
		Name       string `json:"name"`
		Invitation string `json:"invitation"`
	}
	// NameRequest names a contact, by name or number.
	NameRequest struct {
		Name string `json:"name"`
	}
	// ContactAnswer describes one contact.
	ContactAnswer struct {
		V       int     `json:"v"`
		Contact Contact `json:"contact"`
	}
	// ContactsAnswer lists contacts.
	ContactsAnswer struct {
		V        int       `json:"v"`
		Contacts []Contact `json:"contacts"`
	}
	// WordsRequest asks for the words to read aloud.
	WordsRequest struct {
		Name  string `json:"name"`
		Renew bool   `json:"renew,omitempty"`
	}
	// WordsAnswer holds them.
	WordsAnswer struct {
		V      int      `json:"v"`
		Words  []string `json:"words"`
		Digits string   `json:"digits"`
	}
	// CompareRequest holds what was heard: three words, or digits.
	CompareRequest struct {
		Name   string   `json:"name"`
		Words  []string `json:"words,omitempty"`
		Digits string   `json:"digits,omitempty"`
	}
	// CompareAnswer says whether it fits.
	CompareAnswer struct {
		V         int    `json:"v"`
		Match     bool   `json:"match"`
		Fit       []bool `json:"fit,omitempty"`
		TriesLeft int    `json:"tries_left"`
	}
	// SendRequest holds a text.
	SendRequest struct {
		Name    string `json:"name"`
		Channel uint32 `json:"channel,omitempty"` // 0: the conversation that needs no charter
		Text    string `json:"text"`
	}
	// MessageAnswer describes one message.
	MessageAnswer struct {
		V       int     `json:"v"`
		Message Message `json:"message"`

		Expected int64 `json:"expected_seconds,omitempty"` // of one that goes over relays, until a machine that is on has it
	}
	// RecallRequest names a message by its number.
	RecallRequest struct {
		Name string `json:"name"`
		Seq  uint64 `json:"number"`
	}
	// ReadRequest asks for the messages after a number.
	ReadRequest struct {
		Name    string `json:"name"`
		Channel uint32 `json:"channel,omitempty"` // 0: the conversation that needs no charter
		After   uint64 `json:"after,omitempty"`
	}
	// ReadAnswer lists messages.
	ReadAnswer struct {
		V        int       `json:"v"`
		Contact  Contact   `json:"contact"`
		Messages []Message `json:"messages"`
	}
	// FileSendRequest names a file of this machine by its absolute path. As is the
	// name that the other side is told, if it is not the file's own.
	FileSendRequest struct {
		Name    string `json:"name"`
		Channel uint32 `json:"channel,omitempty"` // 0: the conversation that needs no charter
		Path    string `json:"path"`
		As      string `json:"as,omitempty"`
	}
	// FilesRequest asks for the files of a channel, or for all of a contact.
	FilesRequest struct {
		Name    string `json:"name"`
		Channel uint32 `json:"channel,omitempty"` // 0: the conversation that needs no charter
		All     bool   `json:"all,omitempty"`
	}
	// FileRequest names a file by the number of its line.
	FileRequest struct {
		Name string `json:"name"`
		Seq  uint64 `json:"number"`
	}
	// FileTakeRequest names a file by the number of its line, and the absolute path
	// under which it is to be written.
	FileTakeRequest struct {
		Name string `json:"name"`
		Seq  uint64 `json:"number"`
		Path string `json:"path"`
	}
	// FileAnswer describes one file.
	FileAnswer struct {
		V    int  `json:"v"`
		File File `json:"file"`
	}
	// FilesAnswer lists files.
	FilesAnswer struct {
		V       int     `json:"v"`
		Contact Contact `json:"contact"`
		Files   []File  `json:"files"`
	}
	// FollowLine is one line of a follow: a message, or why it ended.
	FollowLine struct {
		V       int      `json:"v"`
		Message *Message `json:"message,omitempty"`
		Error   *Error   `json:"error,omitempty"`
	}
	// ForgeRequest asks for a transcript of the talks with a contact.
	ForgeRequest struct {
		Name    string      `json:"name"`
		OwnName string      `json:"own_name"`
		Lines   []ForgeLine `json:"lines,omitempty"` // none: what is stored

		// Of what is stored: messages with another text, and without some.
		Change []ForgeChange `json:"change,omitempty"`
		Drop   []uint64      `json:"drop,omitempty"`
	}
	// ForgeChange gives a stored message another text.
	ForgeChange struct {
		Seq  uint64 `json:"number"`
		Text string `json:"text"`
	}
	// ForgeLine is one line of it.
	ForgeLine struct {
		FromPeer bool   `json:"from_peer,omitempty"`
		Minute   uint32 `json:"minute"`
		Text     string `json:"text"`
	}
	// ForgeAnswer holds a transcript file.
	ForgeAnswer struct {
		V          int    `json:"v"`
		Transcript []byte `json:"transcript"`
	}
)

// stamp is how times are written: RFC 3339, UTC, or nothing.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// bucket is the precision in which the screen says when a peer was heard.
const bucket = 3 * time.Hour

func onlyRoute(p channel.Policy) Word {
	if p == channel.BothRoutes {
		return ""
	}
	return Word(p.String())
}

func contactOf(v channel.View, now time.Time) Contact {
	c := Contact{
		Number: v.Number, Name: v.Name, Short: node.Slug(v.Name), Stage: Word(v.Stage.String()), Verified: Word(v.Mark.String()),
		VerifiedAt: stamp(v.MarkedAt), UsedTwice: v.UsedTwice, Strict: v.Mode.String() == "strict",
		Paused: v.Paused, OwnConsent: v.OwnConsent, PeerConsent: v.PeerConsent, Connected: v.Connected,
		Waiting: v.Waiting, Proposed: v.Proposed, WindowFull: v.WindowFull, WordsReady: v.WordsReady, Reachable: !v.PeerPlace.IsNone(),
		Made: stamp(v.Made), Expires: stamp(v.Expiry), ClockOff: int64(v.ClockOff / time.Second),
		Invitation: invitationState(v, now), Introduced: v.Introduced, IntroducedBy: v.IntroducedBy, OnlyRoute: onlyRoute(v.Route), OtherRelays: v.OtherRelays,
	}
	if c.ClockOff > -120 && c.ClockOff < 120 {
		c.ClockOff = 0 // within what clocks do
	}
	if !v.Heard.IsZero() {
		from := v.Heard.Truncate(bucket)
		c.HeardFrom, c.HeardTo = stamp(from), stamp(from.Add(bucket))
	}
	return c
}

const usedTwice Word = "USED TWICE: a second machine tried it"

// invitationState says how the invitation of a contact stands.
func invitationState(v channel.View, now time.Time) Word {
	expired := !v.Expiry.IsZero() && !now.Before(v.Expiry)
	switch {
	case v.UsedTwice:
		return usedTwice
	case v.Stage == channel.Met:
		return "accepted"
	case v.HasPeer:
		return "accepted, keys are being agreed"
	case expired:
		return "expired"
	case v.Stage == channel.Invited:
		return "not opened yet"
	default:
		return "waiting for their machine to answer"
	}
}

func messageOf(contact string, m channel.Message) Message {
	out := Message{
		Channel: m.Channel, Contact: contact, Seq: m.Seq, Direction: Word(m.Direction.String()), Text: channel.CraftText(m), Craft: Word(m.Craft.String()),
		Time: stamp(time.Unix(int64(m.Minute)*60, 0)),
	}
	if out.Channel <= channel.Open {
		out.Channel = 0
	}
	switch out.File = m.File; {
	case m.File:
		out.State = Word(m.FileWords())
	case m.Direction == channel.Out:
		out.State = Word(m.State.String())
	}
	return out
}

// fileOf is a file with how long it still takes over relays, if it goes there.
func fileOf(f channel.FileView, r node.RouteState) File {
	out := File{
		Seq: f.Seq, Direction: Word(f.Direction.String()), Name: f.Text, Size: f.Size, Done: f.Done,
		State: Word(f.FileWords()), Path: f.Path, Trouble: Word(f.Trouble), Time: stamp(time.Unix(int64(f.Minute)*60, 0)),
		Boxed: f.Boxed,
	}
	if f.Channel > channel.Open {
		out.Channel = f.Channel
	}
	if rest, ok := r.FileTime(f.Rest); ok && (f.State == channel.FileOffered || f.State == channel.FileMoving) {
		out.Expected = int64(rest / time.Second)
	}
	return out
}
