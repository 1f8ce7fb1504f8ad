package forge

import (
	"encoding/binary"
	"io"

	"github.com/backchannel/backchannel/protocol/communique"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/mandate"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/sounding"
	"github.com/backchannel/backchannel/protocol/wire"
)

// A Showing is what [Show] makes up.
type Showing struct {
	ByPeer bool // the peer is the envoy; else the discloser is
	// Request holds public keys and fingerprints alone. Its Listener counts for
	// nothing: it is the public half of the Listener below.
	Request  mandate.Request
	Listener *mandate.Private // the listener's key for this authority, or nil for one that is made up
	Terms    mandate.Terms
	Minute   uint32 // of all of it
}

// Show makes the lines in which an envoy shows a mandate: the question for the
// listener's key, the answer, the mandate. Neither the authority's private key nor
// the envoy's is needed. Who has no listener's key makes one up: a listener tells it
// only here, so nobody can say which one it was.
func Show(of Showing, random io.Reader) ([]Line, error) {
	r, listener := of.Request, of.Listener
	if listener == nil {
		root, err := secret.Read(random)
		if err != nil {
			return nil, err
		}
		listener = mandate.NewPrivate(mandate.ListenerSeed(root, r.Authority))
		defer listener.Wipe()
	}
	r.Listener = listener.Public()
	m, err := mandate.Forge(listener, r, of.Terms, random)
	if err != nil {
		return nil, err
	}
	line := func(byEnvoy bool, content []byte) Line {
		return Line{FromPeer: byEnvoy == of.ByPeer, Minute: of.Minute, Text: string(content), Kind: wire.FrameMandate}
	}
	key := append([]byte{mandateKey}, r.Authority[:]...)
	return []Line{
		line(true, append([]byte{mandateAsk}, r.Authority[:]...)),
		line(false, append(key, r.Listener[:]...)),
		line(true, m.Append([]byte{mandateShown})),
	}, nil
}

// A Signing is what [Sign] makes up.
type Signing struct {
	Role   communique.Role // the discloser's
	Key    communique.Key  // the discloser's publication key
	Peer   communique.PublicKey
	Text   string
	Expiry uint32 // minutes since 1970
	Minute uint32 // of all of it
	// File is what was published, with the key and the text above; or nil, if it
	// never came to that.
	File []byte
}

// Sign makes the lines in which two sign a text, and what the discloser's machine
// keeps of it: both agree that something may be published, the initiator drafts, and
// then the exchange. Without a file it stops where the discloser would need the peer's
// signature: after his own pre-signature.
func Sign(side identity.Side, of Signing, random io.Reader) ([]Line, *communique.Exchange, error) {
	x, err := communique.Forge(of.Role, of.Key, of.Peer, of.Text, of.Expiry, random)
	if of.File != nil {
		x, err = communique.ForgeFrom(of.File, of.Role, of.Key, of.Expiry, random)
	}
	if err != nil {
		return nil, nil, err
	}
	var lines []Line
	say := func(by communique.Role, content ...byte) {
		lines = append(lines, Line{FromPeer: by != of.Role, Minute: of.Minute, Text: string(content), Kind: wire.FrameCommunique})
	}
	say(communique.Initiator, communiqueAgree)
	say(communique.Responder, communiqueAgree)
	version := byte(1)
	if (side == identity.Inviter) != (of.Role == communique.Initiator) {
		version = 2
	}
	say(communique.Initiator, append([]byte{communiqueDraft, 0, version}, x.Text()...)...)
	messages := x.Messages()
	for i, m := range messages {
		by := communique.Initiator
		if i%2 == 1 {
			by = communique.Responder
		}
		step := append([]byte{communiqueStep}, messages[0][2:2+tagSize]...)
		say(by, append(step, m...)...)
	}
	return lines, x, nil
}

// A Sounding is what [Sound] makes up.
type Sounding struct {
	ByPeer    bool // the peer called; else the discloser did
	Own, Peer []string
	At        uint32 // agreed minute, since 1970
	Window    uint32 // in minutes, before it
}

// Sound makes the lines of a whole sounding, whatever the two have in common, and the
// discloser's machine at its end.
func Sound(of Sounding, random io.Reader) ([]Line, *sounding.Sounding, error) {
	binding, err := secret.Read(random)
	if err != nil {
		return nil, nil, err
	}
	id := sounding.NewID([32]byte(binding.Bytes()), uint64(of.At))
	topics := [2][]string{of.Own, of.Peer}
	if of.ByPeer {
		topics = [2][]string{of.Peer, of.Own}
	}
	var sides [2]*sounding.Sounding // the one who called, then the other
	for i := range sides {
		if sides[i], err = sounding.New(id, sounding.First+sounding.Role(i), topics[i], random); err != nil {
			return nil, nil, err
		}
	}
	const steps = 2 * (sounding.Rounds + 1)
	var lines []Line
	say := func(by int, at uint32, what byte, body []byte) {
		content := append(binary.BigEndian.AppendUint32([]byte{what}, of.At), body...)
		lines = append(lines, Line{FromPeer: (by == 0) == of.ByPeer, Minute: at, Text: string(content), Kind: wire.FrameSounding})
	}
	opens := of.At - of.Window
	say(0, opens, soundingCall, binary.BigEndian.AppendUint32(nil, of.Window))
	for i := range steps {
		m := sides[i%2].Outgoing()
		if err := sides[1-i%2].Receive(m); err != nil {
			return nil, nil, err
		}
		say(i%2, opens+of.Window*uint32(i)/(steps+2), soundingStep, m)
	}
	own := 0
	if of.ByPeer {
		own = 1
	}
	return lines, sides[own], nil
}
