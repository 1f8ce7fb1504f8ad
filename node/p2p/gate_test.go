package p2p

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"io"
	"net"
	"os"
	"testing"

	"github.com/libp2p/go-libp2p/p2p/net/pnet"
	"golang.org/x/crypto/salsa20"

	"github.com/backchannel/backchannel/protocol/secret"
)

var update = flag.Bool("update", false, "write testdata/gate.json anew")

const vectorFile = "testdata/gate.json"

// A gateVector is one connection at a listener that knows the keys of the file.
// Vectors are tried in order: a replay follows what it replays.
type gateVector struct {
	Comment    string `json:"comment"`
	Network    string `json:"network_key"` // that the dialler used, or would have had to use
	Nonce      string `json:"nonce"`
	Ciphertext string `json:"ciphertext"`
	Accept     bool   `json:"accept"`
}

type gateVectors struct {
	Keys    []string     `json:"listener_network_keys"`
	Vectors []gateVector `json:"vectors"`
}

// madeVectors is the generator. Nothing in it is random.
func madeVectors() gateVectors {
	first, second, unknown := key("gate vector 1"), key("gate vector 2"), key("gate vector 3")
	hexed := func(k secret.Key) string { return hex.EncodeToString(k.Bytes()) }
	vector := func(comment string, k secret.Key, plain string, accept bool, change func(nonce, c []byte)) gateVector {
		sum := sha256.Sum256([]byte(comment))
		nonce, c := sum[:nonceSize], []byte(plain)
		salsa20.XORKeyStream(c, c, nonce, (*[32]byte)(k.Bytes()))
		if change != nil {
			change(nonce, c)
		}
		return gateVector{comment, hexed(k), hex.EncodeToString(nonce), hex.EncodeToString(c), accept}
	}
	good := vector("first pair", first, multistreamHeader, true, nil)
	replay := good
	replay.Comment, replay.Accept = "the same again", false
	mixed := vector("the same nonce under the other pair's key", second, multistreamHeader, true, func(n, c []byte) {
		known := sha256.Sum256([]byte(good.Comment))
		copy(n, known[:])
		salsa20.XORKeyStream(c, []byte(multistreamHeader), n, (*[32]byte)(second.Bytes()))
	})
	v := []gateVector{
		good,
		vector("second pair", second, multistreamHeader, true, nil),
		replay, mixed,
		vector("unknown network key", unknown, multistreamHeader, false, nil),
		vector("another protocol", first, "\x13/multistream/2.0.0\n", false, nil),
		vector("no new line", first, "\x13/multistream/1.0.0 ", false, nil),
		vector("nonce changed afterwards", first, multistreamHeader, false, func(n, _ []byte) { n[0] ^= 1 }),
		{"not encrypted", hexed(first), hex.EncodeToString(make([]byte, nonceSize)), hex.EncodeToString([]byte(multistreamHeader)), false},
		{"zeros", hexed(first), hex.EncodeToString(make([]byte, nonceSize)), hex.EncodeToString(make([]byte, headerSize)), false},
	}
	for i := range headerSize {
		v = append(v, vector("bit changed in byte "+string(rune('a'+i))+" of the ciphertext", first, multistreamHeader, false, func(_, c []byte) { c[i] ^= 1 << (i % 8) }))
	}
	v = append(v, vector("first pair, once more", first, multistreamHeader, true, nil))
	return gateVectors{Keys: []string{hexed(first), hexed(second)}, Vectors: v}
}

func TestGateVectors(t *testing.T) {
	made, err := json.MarshalIndent(madeVectors(), "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	made = append(made, '\n')
	if *update {
		if err := os.WriteFile(vectorFile, made, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made, file) {
		t.Error("the generator makes other vectors than the file has")
	}
	var all gateVectors
	if err := json.Unmarshal(file, &all); err != nil {
		t.Fatal(err)
	}
	n := opened(t, Config{MaxPerPair: 100})
	for i, k := range all.Keys {
		if err := n.Add(Pair{Handle: Handle{byte(i)}, Network: keyOf(t, k), Local: key("l", i), Remote: key("r", i)}); err != nil {
			t.Fatal(err)
		}
	}
	accepted := 0
	for _, v := range all.Vectors {
		nonce, err1 := hex.DecodeString(v.Nonce)
		c, err2 := hex.DecodeString(v.Ciphertext)
		if err1 != nil || err2 != nil || len(nonce) != nonceSize || len(c) != headerSize {
			t.Fatalf("%s: malformed vector", v.Comment)
		}
		o := opening(append(nonce, c...))
		p := n.choose(&o)
		if (p != nil) != v.Accept {
			t.Errorf("%s: accepted %t, want %t", v.Comment, p != nil, v.Accept)
		}
		if p != nil {
			accepted++
			if !p.Network.Equal(keyOf(t, v.Network)) {
				t.Errorf("%s: another pair was chosen", v.Comment)
			}
		}
	}
	if accepted == 0 || accepted == len(all.Vectors) {
		t.Fatalf("%d of %d vectors accepted: there have to be some of both kinds", accepted, len(all.Vectors))
	}
}

func keyOf(t *testing.T, s string) secret.Key {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != secret.Size {
		t.Fatalf("malformed key in a vector")
	}
	return secret.FromBytes(b)
}

// TestNoncesAreRemembered counts how long, and that memory is bounded.
func TestNoncesAreRemembered(t *testing.T) {
	var s nonceSet
	nonce := func(i int) [nonceSize]byte { return [nonceSize]byte{byte(i), byte(i >> 8), byte(i >> 16)} }
	for i := range 5 * nonceMemory {
		if !s.add(nonce(i)) {
			t.Fatalf("nonce %d was taken for an old one", i)
		}
		if back := i - nonceMemory + 1; back >= 0 && i%97 == 0 && s.add(nonce(back)) {
			t.Fatalf("nonce %d was forgotten after %d", back, i-back)
		}
		if len(s.young)+len(s.old) > 2*nonceMemory {
			t.Fatalf("%d nonces are held", len(s.young)+len(s.old))
		}
	}
	if !s.add(nonce(0)) {
		t.Error("the oldest nonce is remembered for ever")
	}
}

// TestFirstFlightIsLibp2ps: a dialler of libp2p's own making is let in, so the
// gate asks for no message that libp2p does not send.
func TestFirstFlightIsLibp2ps(t *testing.T) {
	mine, theirs := net.Pipe()
	defer mine.Close()
	go func() {
		defer theirs.Close()
		protected, err := pnet.NewProtectedConn(key("n").Bytes(), theirs)
		if err == nil {
			_, _ = protected.Write([]byte(multistreamHeader))
		}
	}()
	var o opening
	if _, err := io.ReadFull(mine, o[:]); err != nil {
		t.Fatal(err)
	}
	if !o.fits(key("n")) || o.fits(key("m")) {
		t.Error("libp2p's first flight fits the wrong keys")
	}
}

// pipeEnd is a connection that only reads, from memory.
type pipeEnd struct {
	net.Conn
	io.Reader
}

func (p pipeEnd) Read(b []byte) (int, error) { return p.Reader.Read(b) }

// FuzzOpening compares the gate with libp2p's own private network.
func FuzzOpening(f *testing.F) {
	f.Add([]byte{}, []byte("k"))
	f.Add(openingFor(key("k"))[:], []byte("k"))
	f.Add([]byte(multistreamHeader), []byte{})
	f.Fuzz(func(t *testing.T, first, seed []byte) {
		k := key(string(seed))
		var o opening
		if copy(o[:], first) < openingSize {
			o = *openingFor(k) // what is shorter stands for changes to a good one
			for i, b := range first {
				o[i] ^= b
			}
		}
		protected, err := pnet.NewProtectedConn(k.Bytes(), pipeEnd{Reader: bytes.NewReader(o[:])})
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(protected)
		if want := err == nil && string(plain) == multistreamHeader; o.fits(k) != want {
			t.Errorf("fits = %t, libp2p reads %q", o.fits(k), plain)
		}
	})
}
