package node_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"math/big"
	"slices"
)

// An evidenceExaminer looks through bytes for what would convince a third person,
// or tell him who, where and with which program.
type evidenceExaminer struct {
	shared    []ed25519.PublicKey // whose private halves both ends hold
	suspects  []ed25519.PublicKey // one party's own, or anybody's
	messages  [][]byte            // what may have been signed
	canaries  map[string][]byte   // what may stand nowhere in clear
	layers    []evidenceNamed
	findings  []string
	looked    int // bytes
	tried     int // signatures that were verified
	forgeable int // of them, good under a shared key
}

func (x *evidenceExaminer) find(format string, args ...any) {
	f := fmt.Sprintf(format, args...)
	if !slices.Contains(x.findings, f) {
		x.findings = append(x.findings, f)
	}
}

// evidenceNoiseSigned is what libp2p's Noise signs, before the static key.
const evidenceNoiseSigned = "noise-libp2p-static-key:"

// evidenceTraces betray a protocol, a program or a place inside a layer.
var evidenceTraces = map[string]string{
	"/ipfs/id/":              "identify",
	"/ipfs/ping/":            "ping",
	"/libp2p/":               "a libp2p service",
	"/p2p/":                  "a libp2p service",
	"\x12\x02\x03\x01\x1a":   "signed peer record",
	"libp2p-peer-record":     "signed peer record",
	"go-libp2p":              "agent",
	"backchannel":            "agent",
	"\x04\x7f\x00\x00\x01":   "address", // multiaddr /ip4/127.0.0.1
	"127.0.0.1":              "address",
	"/ip4/":                  "address",
	"-----BEGIN CERTIFICATE": "certificate",
}

// evidenceKeyPrefix begins a libp2p public key of type Ed25519 in protobuf.
var evidenceKeyPrefix = []byte{0x08, 0x01, 0x12, 0x20}

// collectKeys finds the public keys that a layer hands over.
func (x *evidenceExaminer) collectKeys(layer []byte) {
	for i := 0; i+len(evidenceKeyPrefix)+32 <= len(layer); i++ {
		if !bytes.HasPrefix(layer[i:], evidenceKeyPrefix) {
			continue
		}
		key := ed25519.PublicKey(layer[i+len(evidenceKeyPrefix):][:32])
		equal := func(o ed25519.PublicKey) bool { return o.Equal(key) }
		if slices.ContainsFunc(x.shared, equal) {
			continue
		}
		x.find("unknown key")
		if !slices.ContainsFunc(x.suspects, equal) {
			x.suspects = append(x.suspects, bytes.Clone(key))
		}
	}
}

// suspectX25519 takes an X25519 key for the signing keys that it could be: the
// two points of edwards25519 that it stands for (RFC 7748, section 4.1).
func (x *evidenceExaminer) suspectX25519(public []byte) {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	le := bytes.Clone(public)
	slices.Reverse(le)
	u := new(big.Int).SetBytes(le)
	inverse := new(big.Int).ModInverse(new(big.Int).Add(u, big.NewInt(1)), p)
	if inverse == nil {
		return
	}
	y := new(big.Int).Mul(new(big.Int).Sub(u, big.NewInt(1)), inverse)
	out := y.Mod(y, p).FillBytes(make([]byte, 32))
	slices.Reverse(out)
	for _, sign := range []byte{0, 0x80} {
		key := bytes.Clone(out)
		key[31] |= sign
		x.suspects = append(x.suspects, key)
	}
}

// An evidenceDepth says what a layer's bytes are.
type evidenceDepth int

const (
	evidenceSealed    evidenceDepth = iota // noise to whom has no keys; the next layer is what it opens to
	evidenceOpen                           // as it is
	evidenceInnermost                      // as it is, and the place where a conversation stands
)

// examine looks at one layer. A signature is looked for in what is open: what is
// sealed was made from the layer inside it and from keys.
func (x *evidenceExaminer) examine(name string, layer []byte, d evidenceDepth) {
	x.looked += len(layer)
	for trace, what := range evidenceTraces {
		if bytes.Contains(layer, []byte(trace)) {
			x.find("%s in %s", what, name)
		}
	}
	if d != evidenceInnermost {
		x.layers = append(x.layers, evidenceNamed{name, layer})
	}
	x.collectKeys(layer)
	if d == evidenceSealed {
		return
	}
	for i := 0; i+64 <= len(layer); i++ {
		window := layer[i : i+64]
		// The second half of a signature is a number below the group's order.
		if window[63] > 0x10 || bytes.Count(window[32:], []byte{0}) > 16 {
			continue
		}
		x.verify(name, layer, i)
	}
}

// evidenceNamed is a layer in which no canary may stand.
type evidenceNamed struct {
	name string
	b    []byte
}

// finish looks for the canaries, when all of them are known.
func (x *evidenceExaminer) finish() []string {
	for _, l := range x.layers {
		for what, canary := range x.canaries {
			if bytes.Contains(l.b, canary) {
				x.find("%s in clear in %s", what, l.name)
			}
		}
	}
	return x.findings
}

// verify tries one window as a signature over everything that it may belong to.
func (x *evidenceExaminer) verify(name string, layer []byte, at int) {
	sig := layer[at : at+64]
	messages := append(slices.Clone(x.messages), layer[:at], layer[max(0, at-32):at], layer[max(0, at-64):at], layer[at+64:])
	if signed := envelopeBefore(layer, at); signed != nil {
		messages = append(messages, signed)
	}
	for _, m := range messages {
		x.tried++
		for _, key := range x.shared {
			if ed25519.Verify(key, m, sig) {
				x.forgeable++
			}
		}
		for _, key := range x.suspects {
			if ed25519.Verify(key, m, sig) {
				x.find("unknown signature in %s", name)
			}
		}
	}
}

// envelopeBefore rebuilds what a libp2p envelope signs, if one ends in a signature
// at this place: the domain, the payload's type and the payload, each after its
// length.
func envelopeBefore(layer []byte, at int) []byte {
	start := bytes.LastIndex(layer[:at], []byte("\x12\x02\x03\x01\x1a"))
	if start < 0 {
		return nil
	}
	size, n := binary.Uvarint(layer[start+5 : at])
	from := start + 5 + n
	if n <= 0 || from+int(size) > at {
		return nil
	}
	signed := []byte{byte(len("libp2p-peer-record"))}
	signed = append(signed, "libp2p-peer-record"...)
	signed = append(signed, 2, 3, 1)
	signed = binary.AppendUvarint(signed, size)
	return append(signed, layer[from:from+int(size)]...)
}

// examineConnection looks at everything that one connection carried below its
// streams' contents, and returns those.
func (x *evidenceExaminer) examineConnection(l *evidenceLayers) map[uint32]*[2][]byte {
	for i := range l.statics {
		x.messages = append(x.messages, append([]byte(evidenceNoiseSigned), l.statics[i]...))
		x.suspectX25519(l.statics[i])
		x.collectKeys(l.payloads[i])
	}
	for i, who := range []string{"dialler", "listener"} {
		x.examine("what the "+who+" says in the private network", l.plain[i], evidenceSealed)
		x.examine("the "+who+"'s Noise payload", l.payloads[i], evidenceOpen)
		x.examine("the "+who+"'s yamux headers", l.headers[i], evidenceOpen)
	}
	return l.streams
}
