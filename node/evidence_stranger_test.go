package node_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/salsa20"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/protocol/identity"
)

// evidenceSilence is how long the nodes of these tests bear a stranger.
const evidenceSilence = 1500 * time.Millisecond

// evidenceOpening is what a dialler with a network key says first.
func evidenceOpening(network []byte) []byte {
	b := make([]byte, 24+len(evidenceMultistream))
	_, _ = rand.Read(b[:24])
	salsa20.XORKeyStream(b[24:], []byte(evidenceMultistream), b[:24], (*[32]byte)(network))
	return b
}

// TestEvidenceStrangersGetNothing lets peers without the pair's key, and one who
// copied a true opening, try a node that waits for a friend.
func TestEvidenceStrangersGetNothing(t *testing.T) {
	address := freeEvidenceAddress(t)
	n := startEvidenceNode(t, filepath.Join(t.TempDir(), "store"), evidencePassphrases[0],
		node.Settings{Listen: address, Address: address}, func([]byte) {})
	text, _, err := n.Invite(t.Context(), evidenceNames[0], time.Hour, false, false)
	if err != nil {
		t.Fatal(err)
	}
	inv, err := identity.ParseInvitation(text)
	if err != nil {
		t.Fatal(err)
	}
	network := inv.Link().Network.Bytes()
	first := evidenceOpening(network)
	if got, _ := evidenceStranger(t, address, first); len(got) == 0 {
		t.Fatal("who has the key gets nothing: the rest would prove nothing")
	}
	noise := func(size int) []byte {
		b := make([]byte, size)
		_, _ = rand.Read(b)
		return b
	}
	wrong := bytes.Clone(network)
	wrong[0] ^= 1
	altered := evidenceOpening(network)
	altered[43] ^= 1
	sent := map[string][]byte{
		"nothing": nil, "one byte": {0}, "43 bytes of a true opening": evidenceOpening(network)[:43],
		"44 bytes of noise": noise(44), "much noise": noise(200_000), "zeros": make([]byte, 4200),
		"multistream in clear": []byte(evidenceMultistream + "\x07/noise\n"), "HTTP": []byte("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"),
		"SSH": []byte("SSH-2.0-OpenSSH_9.9\r\n"), "TLS": append([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), noise(506)...),
		"another pair's opening": evidenceOpening(noise(32)), "an opening under a key with one wrong bit": evidenceOpening(wrong),
		"a true opening with its last bit changed": altered, "a true opening that was heard before": first,
	}
	var group sync.WaitGroup
	for what, b := range sent {
		group.Go(func() {
			got, took := evidenceStranger(t, address, b)
			if len(got) > 0 {
				t.Errorf("%s gets %d bytes", what, len(got))
			}
			if took < evidenceSilence || took > evidenceSilence+600*time.Millisecond {
				t.Errorf("%s: the end comes after %v, not %v", what, took, evidenceSilence)
			}
		})
	}
	group.Wait()
}

// evidenceStranger sends and reports what comes back, and after how long the end.
func evidenceStranger(t *testing.T, address string, b []byte) (got []byte, took time.Duration) {
	since := time.Now()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return nil, 0
	}
	defer c.Close()
	var sending sync.WaitGroup
	sending.Go(func() { _, _ = c.Write(b) })
	_ = c.SetReadDeadline(since.Add(evidencePatience))
	got, _ = io.ReadAll(c)
	took = time.Since(since)
	_ = c.Close()
	sending.Wait()
	return got, took
}
