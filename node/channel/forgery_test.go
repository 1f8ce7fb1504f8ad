package channel_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/protocol/forge"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

// forgeryChildEnv makes TestForgeryChild the forger.
const forgeryChildEnv = "BACKCHANNEL_FORGERY_CHILD"

// A forgeryJob is all that the forger gets: one side's secrets, as the program
// itself hands them out, and what is to be said.
type forgeryJob struct {
	Mode, Role, Side  byte
	Began             uint32
	OwnName, PeerName string
	Static, Pair      []byte
	OwnCard, PeerCard []byte
	Lines             []forge.Line
	Seed              uint64 // of the forger's own randomness
}

func newForgeryJob(p forge.Params, lines []forge.Line, seed uint64) forgeryJob {
	return forgeryJob{
		Mode: byte(p.Mode), Role: byte(p.Role), Side: byte(p.Side), Began: p.Began, OwnName: p.OwnName, PeerName: p.PeerName,
		Static: p.Static.Bytes(), Pair: p.Pair.Bytes(), OwnCard: p.OwnCard.Append(nil), PeerCard: p.PeerCard.Append(nil),
		Lines: lines, Seed: seed,
	}
}

func (j forgeryJob) forge() (*forge.Transcript, error) {
	own, err1 := identity.ParseCard(j.OwnCard)
	peer, err2 := identity.ParseCard(j.PeerCard)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return forge.Forge(forge.Params{
		Mode: handshake.Mode(j.Mode), Role: handshake.Role(j.Role), Side: identity.Side(j.Side), Began: j.Began,
		OwnName: j.OwnName, PeerName: j.PeerName, Static: secret.FromBytes(j.Static), Pair: secret.FromBytes(j.Pair),
		OwnCard: own, PeerCard: peer,
	}, j.Lines, forgerySource(j.Seed, 'f'))
}

// TestForgeryChild is the forger when the environment says so: a process of its
// own that knows what it reads from its standard input, and nothing else.
func TestForgeryChild(t *testing.T) {
	if os.Getenv(forgeryChildEnv) == "" {
		t.Skip("only as a child of the other tests")
	}
	in := gob.NewDecoder(os.Stdin)
	for {
		var j forgeryJob
		if err := in.Decode(&j); errors.Is(err, io.EOF) {
			os.Exit(0) // nothing but transcripts goes to the standard output
		} else if err != nil {
			t.Fatal(err)
		}
		tr, err := j.forge()
		if err != nil {
			t.Fatal(err)
		}
		raw := tr.Append(nil)
		if _, err := os.Stdout.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(raw))), raw...)); err != nil {
			t.Fatal(err)
		}
	}
}

// A forger is a running child.
type forger struct {
	jobs *gob.Encoder
	out  io.Reader
}

func startForger(t *testing.T) *forger {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], "-test.run=^TestForgeryChild$")
	cmd.Env, cmd.Stderr = append(os.Environ(), forgeryChildEnv+"=1"), os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil && !t.Failed() {
			t.Errorf("the forger: %v", err)
		}
	})
	return &forger{jobs: gob.NewEncoder(in), out: out}
}

func (f *forger) forge(j forgeryJob) ([]byte, error) {
	if err := f.jobs.Encode(j); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(f.out, size[:]); err != nil {
		return nil, err
	}
	raw := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err := io.ReadFull(f.out, raw)
	return raw, err
}

// verifyForgery is the one verifier: it sees bytes, and wants the lines in them.
func verifyForgery(raw []byte, want []forge.Line) (*forge.Transcript, error) {
	t, err := forge.Parse(raw)
	if err != nil {
		return nil, err
	}
	lines, err := t.Check()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(t.Append(nil), raw) || !slices.Equal(lines, want) {
		return nil, errors.New("the transcript says something else")
	}
	return t, nil
}

// forgeryFlaws are what a careless forger might do. The classifier must see each.
var forgeryFlaws = []struct {
	name  string
	plant func(rng *rand.Rand, entries [][]byte)
}{
	{"a padding byte", func(rng *rand.Rand, entries [][]byte) {
		e := forgeryEntry(entries[rng.IntN(len(entries))])
		for len(e.padding()) == 0 {
			e = entries[rng.IntN(len(entries))]
		}
		e.padding()[rng.IntN(len(e.padding()))] = 1
	}},
	{"a time", func(_ *rand.Rand, entries [][]byte) {
		for _, e := range entries { // even minutes only
			forgeryEntry(e).body()[25] &^= 1
		}
	}},
	{"a number", func(_ *rand.Rand, entries [][]byte) {
		for _, e := range entries { // the peer begins with 2
			if e := forgeryEntry(e); e.from() == 1 {
				binary.BigEndian.PutUint32(e.body()[2:], uint32(e.number()+1))
			}
		}
	}},
}

// A forgeryPair is a real session and a forged one, as the classifier sees them.
type forgeryPair struct {
	err        error
	names      []string
	real       []float64
	forged     [][]float64 // as it is, then with each flaw
	realPlaces []float64
	fakePlaces []float64
}

// makeForgeryPair plays a session, has one of its two sides show it, and lets the
// forger have the other side's secrets.
func makeForgeryPair(seed uint64, f *forger) (p forgeryPair, err error) {
	script := drawForgeryScript(rand.New(forgerySource(seed, 's')))
	w, err := playForgerySession(seed, script)
	if err != nil {
		return p, fmt.Errorf("session %d: %w", seed, err)
	}
	honest, other := w.a, w.b
	if seed%2 == 1 {
		honest, other = w.b, w.a
	}
	shown, err := w.disclose(honest)
	if err != nil {
		return p, fmt.Errorf("showing session %d: %w", seed, err)
	}
	raw := shown.Append(nil)
	if p.names, p.real, err = featuresOfForgery(raw, script.linesOf(shown.Side)); err != nil {
		return p, fmt.Errorf("real session %d: %w", seed, err)
	}
	p.realPlaces = placesOfForgery(raw)

	invented := drawForgeryScript(rand.New(forgerySource(seed, 't')))
	params, err := w.params(other)
	if err != nil {
		return p, err
	}
	params.Began = invented.begin
	lines := invented.linesOf(params.Side)
	if raw, err = f.forge(newForgeryJob(params, lines, seed)); err != nil {
		return p, fmt.Errorf("forging session %d: %w", seed, err)
	}
	_, named, err := featuresOfForgery(raw, lines)
	if err != nil {
		return p, fmt.Errorf("forged session %d: %w", seed, err)
	}
	p.forged, p.fakePlaces = append(p.forged, named), placesOfForgery(raw)
	for i, flaw := range forgeryFlaws {
		spoilt := bytes.Clone(raw)
		flaw.plant(rand.New(forgerySource(seed, byte(i))), cutForgery(spoilt).entries)
		v := judgeForgery(spoilt).Values
		p.forged = append(p.forged, append(v, named[len(v):]...))
	}
	return p, nil
}

func featuresOfForgery(raw []byte, want []forge.Line) ([]string, []float64, error) {
	t, err := verifyForgery(raw, want)
	if err != nil {
		return nil, nil, err
	}
	f := judgeForgery(raw)
	if err := judgeForgeryHeaders(f, t); err != nil {
		return nil, nil, err
	}
	return f.Names, f.Values, nil
}

// TestForgeryCannotBeToldApart shows real and forged sessions to one verifier and
// one classifier, and the classifier forgeries with planted flaws.
func TestForgeryCannotBeToldApart(t *testing.T) {
	n := 1000
	if testing.Short() || forgeryRace {
		n = 200
	}
	workers := max(2, runtime.GOMAXPROCS(0))
	made := make([]chan forgeryPair, workers)
	for i := range made {
		made[i] = make(chan forgeryPair, 4)
		f := startForger(t)
		go func() {
			defer close(made[i])
			for seed := i; seed < n; seed += workers {
				p, err := makeForgeryPair(uint64(seed), f)
				p.err = err
				made[i] <- p
			}
		}()
	}
	var names []string
	cases := make([]prototest.Heaps, 1+len(forgeryFlaws))
	places := prototest.NewPlaces(n / 2)
	for i := range n {
		p := <-made[i%workers]
		if p.err != nil {
			t.Error(p.err)
			continue
		}
		names = p.names
		for c := range cases {
			cases[c].Add(p.real, p.forged[c])
		}
		places.Add(p.realPlaces, p.fakePlaces)
	}
	if t.Failed() {
		return
	}
	t.Logf("%d real and %d forged sessions accepted; judged by %d features and %d places", n, n, len(names), places.Count())
	verdict := cases[0].Judge(names)
	t.Logf("as they are: %v", verdict)
	if verdict.Told() {
		t.Errorf("forged sessions can be told apart: %v", verdict)
	}
	byPlace := places.Judge()
	t.Logf("by place: %v", byPlace)
	if byPlace.Told() {
		t.Errorf("forged sessions can be told apart by a place: %v", byPlace)
	}
	for i, flaw := range forgeryFlaws {
		verdict := cases[i+1].Judge(names)
		t.Logf("%s: %v", flaw.name, verdict)
		if verdict.AUC <= verdict.AUCLimit || len(verdict.Found) == 0 {
			t.Errorf("%s planted in every forgery was not seen: %v", flaw.name, verdict)
		}
	}
}

// TestForgeryByEitherSide has each of two people who met make up the other's half,
// in a process that was given nothing of the other's.
func TestForgeryByEitherSide(t *testing.T) {
	f := startForger(t)
	for seed := range uint64(4) { // both modes
		script := drawForgeryScript(rand.New(forgerySource(seed, 's')))
		script.strict = seed%2 == 1
		w, err := playForgerySession(seed, script)
		if err != nil {
			t.Fatal(err)
		}
		minute := script.begin
		lines := []forge.Line{
			{FromPeer: true, Minute: minute, Text: "I sold the list, and I would do it again."},
			{FromPeer: false, Minute: minute, Text: strings.Repeat("é", wire.MaxText/2)},
			{FromPeer: true, Minute: minute + 1, Text: strings.Repeat("0123456789", wire.MaxText/10)},
			{FromPeer: true, Minute: minute + 40_000, Text: "\x00 nobody would write this"},
		}
		for _, m := range []*forgeryMachine{w.a, w.b} {
			for _, role := range []handshake.Role{handshake.Initiator, handshake.Responder} {
				p, err := w.params(m)
				if err != nil {
					t.Fatal(err)
				}
				if p.Static.Equal(m.peer.static()) || p.PeerCard.Static != m.peer.own() {
					t.Fatal("these are not the secrets of one side")
				}
				p.Role = role
				raw, err := f.forge(newForgeryJob(p, lines, seed))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := verifyForgery(raw, lines); err != nil {
					t.Errorf("%v, %v, %v: %v", p.Mode, p.Side, role, err)
				}
				if bytes.Contains(raw, m.peer.static().Bytes()) {
					t.Error("the forgery holds the other's private key")
				}
			}
		}
	}
}

// static is a machine's private key: the first that it drew.
func (m *forgeryMachine) static() secret.Key { return secret.New(&m.draws.keys[0]) }
