package p2p

import (
	"bytes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/p2p/net/pnet"
	"github.com/libp2p/go-libp2p/p2p/security/noise/pb"
	"golang.org/x/crypto/chacha20poly1305"
	"google.golang.org/protobuf/proto"
)

// turned is a counterparty with all its keys who wants a proof: it speaks
// Noise_XX_25519_ChaChaPoly_SHA256 itself, so that it has every byte that the
// other end hands over inside the handshake, which no hook can see.
type turned struct {
	c    net.Conn
	ck   []byte
	h    [32]byte
	aead cipher.AEAD
	n    uint64
	peer []byte // the listener's ephemeral key
}

func newTurned(c net.Conn) *turned {
	t := &turned{c: c}
	copy(t.h[:], "Noise_XX_25519_ChaChaPoly_SHA256")
	t.ck = bytes.Clone(t.h[:])
	t.mixHash(nil) // no prologue
	return t
}

func (t *turned) mixHash(b []byte) { t.h = sha256.Sum256(append(t.h[:], b...)) }

func (t *turned) mixKey(mine *ecdh.PrivateKey, theirs []byte) error {
	public, err := ecdh.X25519().NewPublicKey(theirs)
	if err != nil {
		return err
	}
	dh, err := mine.ECDH(public)
	if err != nil {
		return err
	}
	out, err := hkdf.Key(sha256.New, dh, t.ck, "", 64)
	if err != nil {
		return err
	}
	t.ck, t.n = out[:32], 0
	t.aead, err = chacha20poly1305.New(out[32:])
	return err
}

func (t *turned) nonce() []byte {
	b := make([]byte, 12)
	binary.LittleEndian.PutUint64(b[4:], t.n)
	t.n++
	return b
}

func (t *turned) seal(b []byte) []byte {
	out := t.aead.Seal(nil, t.nonce(), b, t.h[:])
	t.mixHash(out)
	return out
}

func (t *turned) open(b []byte) ([]byte, error) {
	out, err := t.aead.Open(nil, t.nonce(), b, t.h[:])
	t.mixHash(b)
	return out, err
}

func (t *turned) send(b []byte) error {
	_, err := t.c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	return err
}

func (t *turned) receive() ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(t.c, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(t.c, b)
	return b, err
}

// negotiate says and hears multistream's choice of Noise.
func (t *turned) negotiate() error {
	choice := []byte(multistreamHeader + "\x07/noise\n")
	if _, err := t.c.Write(choice); err != nil {
		return err
	}
	got := make([]byte, len(choice))
	if _, err := io.ReadFull(t.c, got); err != nil || !bytes.Equal(got, choice) {
		return errors.Join(errors.New("no agreement on noise"), err)
	}
	return nil
}

// dialled plays the initiator until the listener has handed over its payload.
func (t *turned) dialled() (static, payload []byte, err error) {
	e, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	t.mixHash(e.PublicKey().Bytes())
	t.mixHash(nil)
	if err := t.send(e.PublicKey().Bytes()); err != nil {
		return nil, nil, err
	}
	m, err := t.receive()
	if err != nil || len(m) < 32+48+16 {
		return nil, nil, errors.Join(errors.New("no second message"), err)
	}
	t.peer = m[:32]
	t.mixHash(m[:32])
	if err := t.mixKey(e, m[:32]); err != nil {
		return nil, nil, err
	}
	if static, err = t.open(m[32:80]); err != nil {
		return nil, nil, err
	}
	if err := t.mixKey(e, static); err != nil {
		return nil, nil, err
	}
	payload, err = t.open(m[80:])
	return static, payload, err
}

// listened plays the responder, with its host key, until the dialler has handed
// over its payload.
func (t *turned) listened(host crypto.PrivKey) (static, payload []byte, err error) {
	m, err := t.receive()
	if err != nil || len(m) != 32 {
		return nil, nil, errors.Join(errors.New("no first message"), err)
	}
	t.mixHash(m)
	t.mixHash(nil)
	e, err1 := ecdh.X25519().GenerateKey(rand.Reader)
	s, err2 := ecdh.X25519().GenerateKey(rand.Reader)
	own, err3 := payloadOf(host, s.PublicKey().Bytes())
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, nil, err
	}
	t.mixHash(e.PublicKey().Bytes())
	if err := t.mixKey(e, m); err != nil {
		return nil, nil, err
	}
	answer := append(e.PublicKey().Bytes(), t.seal(s.PublicKey().Bytes())...)
	if err := t.mixKey(s, m); err != nil {
		return nil, nil, err
	}
	if err := t.send(append(answer, t.seal(own)...)); err != nil {
		return nil, nil, err
	}
	if m, err = t.receive(); err != nil || len(m) < 48+16 {
		return nil, nil, errors.Join(errors.New("no third message"), err)
	}
	if static, err = t.open(m[:48]); err != nil {
		return nil, nil, err
	}
	if err := t.mixKey(e, static); err != nil {
		return nil, nil, err
	}
	payload, err = t.open(m[48:])
	return static, payload, err
}

// payloadOf is what libp2p puts into the handshake. The very same function makes
// it with our own key and with the other end's, and that is the point.
func payloadOf(host crypto.PrivKey, static []byte) ([]byte, error) {
	public, err := crypto.MarshalPublicKey(host.GetPublic())
	if err != nil {
		return nil, err
	}
	sig, err := host.Sign(append([]byte(noisePrefix), static...))
	if err != nil {
		return nil, err
	}
	return proto.Marshal(&pb.NoiseHandshakePayload{
		IdentityKey: public, IdentitySig: sig,
		Extensions: &pb.NoiseExtensions{StreamMuxers: []string{"/yamux/1.0.0"}},
	})
}

// forgeable wants the payload to be what the turned counterparty makes alone,
// byte for byte, from the secret that it shares and the static key that it saw.
func forgeable(t *testing.T, theirSeed Pair, static, payload []byte) {
	t.Helper()
	k, err := hostKey(theirSeed.Remote)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := payloadOf(k, static)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(forged, payload) {
		t.Errorf("a handshake payload cannot be forged:\n%x\n%x", payload, forged)
	}
}

func (t *turned) within(d time.Duration) *turned {
	_ = t.c.SetDeadline(time.Now().Add(d))
	return t
}

func TestTurnedCounterpartyGetsOnlyWhatItCanForge(t *testing.T) {
	ours, theirs := pairOf(1)
	n := started(t, Config{Listen: loopback}, ours)
	protect := func(c net.Conn) net.Conn {
		p, err := pnet.NewProtectedConn(ours.Network.Bytes(), c)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	t.Run("dialling us", func(t *testing.T) {
		c, err := net.Dial("tcp", n.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		proof := newTurned(protect(c)).within(patience)
		if err := proof.negotiate(); err != nil {
			t.Fatal(err)
		}
		static, payload, err := proof.dialled()
		if err != nil {
			t.Fatal(err)
		}
		forgeable(t, theirs, static, payload)
	})
	t.Run("dialled by us", func(t *testing.T) {
		l, err := net.Listen("tcp", loopback)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		dialled := make(chan error, 1)
		go func() {
			_, err := n.Dial(t.Context(), ours.Handle, l.Addr().String())
			dialled <- err
		}()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		proof := newTurned(protect(c)).within(patience)
		if err := proof.negotiate(); err != nil {
			t.Fatal(err)
		}
		host, err := hostKey(theirs.Local)
		if err != nil {
			t.Fatal(err)
		}
		static, payload, err := proof.listened(host)
		if err != nil {
			t.Fatal(err)
		}
		forgeable(t, theirs, static, payload)
		_ = c.Close()
		if err := <-dialled; !errors.Is(err, ErrRefused) {
			t.Errorf("Dial = %v", err)
		}
	})
}
