package node_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/gob"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/kem"
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/ratchet"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// evidenceCase is a recorded conversation on its way to be explained: every byte
// is to be a function of keys that both ends hold or that anybody can draw.
type evidenceCase struct {
	t       *testing.T
	x       *evidenceExaminer
	left    evidenceFile
	inv     identity.Invitation
	flights []*handshake.Flight
	session *handshake.Session
	cells   map[wire.Cell]bool
	frames  []wire.Frame
	boxes   int
	wire    [][]byte // what is to leave no trace in the stores
}

// TestEvidence holds a conversation in a process of its own, with a recorder
// between the two nodes, and examines all that went over the wire, all that is on
// disk, and all that was printed.
func TestEvidence(t *testing.T) {
	dir := t.TempDir()
	home := filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestEvidenceChild$")
	cmd.Env = append(os.Environ(), evidenceEnv+"="+dir)
	for _, name := range []string{"HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"} {
		cmd.Env = append(cmd.Env, name+"="+home)
	}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("the conversation: %v\n%s%s", err, out.Bytes(), errOut.Bytes())
	}
	c := &evidenceCase{t: t, x: &evidenceExaminer{}, cells: map[wire.Cell]bool{}}
	file, err := os.Open(filepath.Join(dir, "left"))
	if err := errors.Join(err, gob.NewDecoder(file).Decode(&c.left), file.Close()); err != nil {
		t.Fatal(err)
	}
	if c.inv, err = identity.ParseInvitation(c.left.Invitation); err != nil {
		t.Fatal(err)
	}
	c.x.canaries = c.canaries()
	c.explain()
	for _, f := range c.x.finish() {
		t.Error(f)
	}
	t.Logf("%d connections, %d boxes, %d cells, %d bytes in all layers, %d windows tried as signatures, %d good under a key that both hold",
		len(c.left.Recording.Streams), c.boxes, len(c.cells), c.x.looked, c.x.tried, c.x.forgeable)
	if c.x.forgeable < 2*len(c.left.Recording.Streams) {
		t.Error("the signatures that libp2p makes were not found: the examiner is blind")
	}
	if errOut.Len() > 0 {
		t.Errorf("the nodes printed %q", errOut.Bytes())
	}
	c.nowhere("the output", out.Bytes())
	if left, err := os.ReadDir(home); err != nil || len(left) > 0 {
		t.Errorf("outside of the stores something was left: %v, %v", left, err)
	}
	for i := range evidencePassphrases {
		c.examineStore(filepath.Join(dir, strconv.Itoa(i)), evidencePassphrases[i])
	}
}

// canaries are what may stand nowhere in clear.
func (c *evidenceCase) canaries() map[string][]byte {
	place, err := identity.PlaceOf(c.left.Address)
	if err != nil {
		c.t.Fatal(err)
	}
	raw := place.Append(nil)
	list := map[string][]byte{
		"an address": []byte(c.left.Address), "a place": raw,
		"a multiaddr":    append(append([]byte{4}, raw[1:5]...), append([]byte{6}, raw[5:]...)...),
		"the invitation": []byte(c.left.Invitation), "the invitation's secret": c.inv.Secret[:],
	}
	for i := range evidenceNames {
		list["a name "+evidenceNames[i]] = []byte(evidenceNames[i])
		list["a passphrase "+evidenceNames[i]] = []byte(evidencePassphrases[i])
		for _, texts := range evidenceTexts {
			list["a text "+texts[i][:20]] = []byte(texts[i][:20])
		}
	}
	return list
}

// nowhere wants no canary in some bytes.
func (c *evidenceCase) nowhere(where string, b []byte) {
	for what, canary := range c.x.canaries {
		if bytes.Contains(b, canary) {
			c.t.Errorf("%s stands in %s", what, where)
		}
	}
}

// explain goes through all connections, from the outermost layer to the frames.
func (c *evidenceCase) explain() {
	c.share(c.inv.Link())
	networks := [][]byte{c.inv.Link().Network.Bytes()}
	keys := evidenceKeys(c.left.Recording.Draws)
	for n, said := range c.left.Recording.Streams {
		l, err := openEvidenceLayers(said, networks, keys)
		if err != nil {
			c.t.Fatalf("connection %d: %v", n, err)
		}
		for i, who := range []string{"dialler", "listener"} {
			c.x.examine("what the "+who+" says on TCP", said[i], evidenceSealed)
		}
		streams := c.x.examineConnection(l)
		c.explainStreams(n, streams)
		if n == 0 {
			c.explainHandshake()
			dial := identity.DialLink(c.session.Dial)
			c.share(dial)
			networks = append(networks, dial.Network.Bytes())
			c.explainStreams(n, streams) // again, with the session's keys
		}
	}
	c.explainCells()
}

// share notes the signing keys of which both ends hold the private half.
func (c *evidenceCase) share(l identity.Link) {
	for _, side := range []identity.Side{identity.Inviter, identity.Accepter} {
		c.x.shared = append(c.x.shared, ed25519.NewKeyFromSeed(l.Host(side).Bytes()).Public().(ed25519.PublicKey))
	}
}

// explainStreams wants one stream in a connection; 0 is yamux's own.
func (c *evidenceCase) explainStreams(n int, streams map[uint32]*[2][]byte) {
	found := 0
	for id, s := range streams {
		if id != 0 {
			c.explainStream(n, *s)
			found++
		}
	}
	if found != 1 {
		c.t.Errorf("connection %d has %d streams", n, found)
	}
}

// explainStream opens the boxes of a stream.
func (c *evidenceCase) explainStream(n int, s [2][]byte) {
	var hellos [2]wire.Hello
	for i := range s {
		rest, ok := bytes.CutPrefix(s[i], []byte(evidenceMultistream+"\x05/x/1\n"))
		if !ok || len(rest) < wire.HelloSize || (len(rest)-wire.HelloSize)%wire.BoxSize != 0 {
			c.t.Fatalf("connection %d: a stream holds something else than hello and boxes: %d bytes, %.40q", n, len(s[i]), s[i])
		}
		c.x.examine("the start of a stream", s[i][:len(s[i])-len(rest)+wire.HelloSize], evidenceOpen)
		hellos[i], s[i] = wire.Hello(rest), rest[wire.HelloSize:]
	}
	roots := []secret.Key{c.inv.Link().Box}
	if c.session != nil {
		roots = append(roots, c.session.Box, identity.DialLink(c.session.Dial).Box)
	}
	for i := range s {
		for b := s[i]; len(b) > 0; b = b[wire.BoxSize:] {
			opened := false
			for _, root := range roots {
				k := wire.DeriveLinkKeys(root, hellos[0], hellos[1])
				key := []secret.Key{k.FromDialler, k.FromListener}[i]
				if control, cell, err := wire.OpenBox(key, (*wire.Box)(b)); err == nil {
					opened = true
					c.box(control, cell)
				}
			}
			if c.session == nil {
				continue // only the handshake can be read yet
			}
			if !opened {
				c.t.Errorf("connection %d: a box opens under no key that is known", n)
			}
			c.boxes++
			c.wire = append(c.wire, b[:wire.BoxSize])
		}
	}
}

func (c *evidenceCase) box(control wire.Control, cell *wire.Cell) {
	if c.session == nil {
		if control.Flags&wire.FlagFlight == 0 {
			return
		}
		f, err := handshake.ParseFlight(cell)
		if err != nil {
			c.t.Fatal(err)
		}
		c.flights = append(c.flights, f)
		return
	}
	c.x.examine("a control block", control.Append(nil), evidenceOpen)
	c.x.examine("a cell", cell[:handshake.TagSize+handshake.MessageSize], evidenceSealed)
	if control.Flags&wire.FlagCell != 0 {
		c.cells[*cell] = true
	}
}

// explainHandshake makes the three messages anew, byte for byte, from both cards,
// the invitation's secret and what each side drew; and examines what is in them.
func (c *evidenceCase) explainHandshake() {
	var cards []*identity.Card
	var messages []handshake.Message
	for _, f := range c.flights {
		if f.Tag == handshake.CardTag(c.inv.Link().Box) {
			cards = append(cards, f.Card) // the accepter's; its message is random
			continue
		}
		if f.Card != nil {
			cards = append(cards, f.Card)
		}
		messages = append(messages, f.Message)
		seen := handshake.Seen(&f.Message)
		c.wire = append(c.wire, f.Message[:], seen[:])
	}
	// What the dialler said was read first: the card, m2; then the listener's.
	if len(cards) != 2 || len(messages) != 3 {
		c.t.Fatalf("first contact has %d cards and %d messages", len(cards), len(messages))
	}
	m1, m2, m3 := messages[1], messages[0], messages[2]
	accepter, inviter := cards[0], cards[1]
	keys := evidenceKeys(c.left.Recording.Draws)
	for i, card := range cards {
		c.x.suspectX25519(card.Static[:])
		c.x.messages = append(c.x.messages, card.Append(nil))
		c.x.canaries[[]string{"the accepter's card", "the inviter's card"}[i]] = card.Static[:]
		c.x.examine("a card", card.Append(nil)[:42], evidenceInnermost) // the place follows, and zeros
	}
	pair := c.inv.Pair(inviter.Static, accepter.Static)
	config := func(own, peer *identity.Card) handshake.Config {
		return handshake.Config{
			Mode: handshake.Mutual, Static: secret.FromBytes(keys[own.Static].Bytes()), PeerStatic: peer.Static,
			LocalCard: own.Fingerprint(), PeerCard: peer.Fingerprint(), Pair: pair,
		}
	}
	for _, first := range c.left.Recording.Draws {
		run, made, err := handshake.Initiate(config(inviter, accepter), secret.FromBytes(first))
		if err != nil || *made != m1 {
			continue
		}
		made, s, err := run.Finish(&m2)
		if err != nil || *made != m3 {
			c.t.Fatalf("m3 is not what the inviter's keys make: %v", err)
		}
		c.session = s
		c.innerPayloads(config(accepter, inviter), first, &m1, &m2)
		c.x.messages = append(c.x.messages, s.Binding[:])
		return
	}
	c.t.Fatal("m1 is not what the inviter's keys make")
}

// innerPayloads examines what is inside the inner Noise: m1 holds an encapsulation
// key, m2 a ciphertext and two prekeys, both then zeros, and m3 zeros.
func (c *evidenceCase) innerPayloads(responder handshake.Config, first []byte, m1, m2 *handshake.Message) {
	derive := func(seed []byte, what string, n int) []byte {
		return label.Derive(label.HandshakeCoins, seed, nil, n, []byte(what))
	}
	ek := kem.Public((*[kem.SeedSize]byte)(derive(first, "kem", kem.SeedSize)))
	c.x.examine("inside m1", ek[:], evidenceOpen)
	for _, second := range c.left.Recording.Draws {
		if _, made, err := handshake.Respond(responder, secret.FromBytes(second), m1); err != nil || *made != *m2 {
			continue
		}
		ct, _, err := kem.Encapsulate(ek, (*[kem.CoinsSize]byte)(derive(second, "encapsulation", kem.CoinsSize)))
		if err != nil {
			c.t.Fatal(err)
		}
		c.x.examine("inside m2", slices.Concat(ct[:], c.session.Prekeys.DH[:], c.session.Prekeys.KEM[:]), evidenceOpen)
		c.wire = append(c.wire, first, second) // coins are not kept either
		return
	}
	c.t.Fatal("m2 is not what the accepter's keys make")
}

// explainCells makes every cell's body anew from its message key and its frame,
// and examines the frames.
func (c *evidenceCase) explainCells() {
	made := map[wire.Cell]bool{}
	for _, value := range c.left.Sealed {
		for at := ratchet.SealedHeaderSize + secret.Size; at+wire.FrameSize <= len(value) && at < ratchet.SealedHeaderSize+secret.Size+8; at++ {
			f, err := wire.ParseFrame(value[at : at+wire.FrameSize])
			if err != nil {
				continue
			}
			message := value[at-secret.Size : at]
			s := ratchet.Sealed{Message: secret.FromBytes(message)}
			copy(s.Header[:], value)
			cell := s.Cell((*[wire.FrameSize]byte)(value[at:]))
			if !c.cells[*cell] {
				continue
			}
			made[*cell] = true
			c.frames = append(c.frames, f)
			c.x.messages = append(c.x.messages, f.Content)
			c.x.examine("a frame", f.Append(nil)[:28+len(f.Content)], evidenceInnermost)
			c.wire = append(c.wire, cell[:ratchet.SealedHeaderSize], cell[ratchet.SealedHeaderSize:], message)
		}
	}
	if len(made) != len(c.cells) || len(made) < 8 {
		c.t.Errorf("of %d cells only %d are what a message key and a frame make", len(c.cells), len(made))
	}
}

// examineStore looks at the files as they are, and at the records inside.
func (c *evidenceCase) examineStore(dir, passphrase string) {
	size := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		size += len(b)
		c.nowhere(filepath.Base(path), b)
		return err
	})
	if err != nil || size < 10_000 {
		c.t.Fatalf("a store has %d bytes, %v", size, err)
	}
	s, err := store.Open(store.Config{Dir: dir, Cost: store.Cheap}, []byte(passphrase))
	if err != nil {
		c.t.Fatal(err)
	}
	defer s.Close()
	known := map[[16]byte]bool{} // every 16 bytes of the wire
	for _, b := range c.wire {
		for i := 0; i+16 <= len(b); i += 16 {
			known[[16]byte(b[i:])] = true
		}
	}
	delete(known, [16]byte{})
	records, canaries := 0, 0
	for kind := store.Kind(1); kind < 32; kind++ {
		for r, err := range s.ScanKind(kind) {
			if err != nil {
				c.t.Fatal(err)
			}
			records++
			if kind == channel.KindSealed || kind == channel.KindInbound {
				c.t.Errorf("a record of kind %d is left after all was acknowledged", kind)
			}
			for i := 0; i+16 <= len(r.Value); i++ {
				if known[[16]byte(r.Value[i:])] {
					c.t.Errorf("a record of kind %d holds bytes of the wire, or a key of its messages, at %d", kind, i)
					break
				}
			}
			for _, canary := range c.x.canaries {
				if bytes.Contains(r.Value, canary) {
					canaries++
				}
			}
		}
	}
	if records < 6 || canaries < 4 || len(known) < 1000 {
		c.t.Errorf("too little was looked at: %d records, %d of what they should hold, %d pieces of the wire", records, canaries, len(known))
	}
}
