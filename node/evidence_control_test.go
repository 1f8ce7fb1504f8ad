package node_test

import (
	"encoding/gob"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// evidenceOrdinaryHosts has two hosts with libp2p's defaults recorded by a test of package
// p2p, the only one that may import libp2p.
func evidenceOrdinaryHosts(t *testing.T) evidenceRecording {
	t.Helper()
	file := filepath.Join(t.TempDir(), "recording")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-run=^TestOrdinaryConversation$", "./p2p")
	cmd.Env = append(os.Environ(), "BACKCHANNEL_EVIDENCE_ORDINARY="+file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("recording two ordinary hosts: %v\n%s", err, out)
	}
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var r evidenceRecording
	if err := gob.NewDecoder(in).Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestEvidenceExaminerCatchesOrdinaryHosts shows the examiner of TestEvidence what
// two libp2p hosts with their defaults leave behind.
func TestEvidenceExaminerCatchesOrdinaryHosts(t *testing.T) {
	r := evidenceOrdinaryHosts(t)
	x := &evidenceExaminer{canaries: map[string][]byte{"the text": []byte("an ordinary text")}}
	keys := evidenceKeys(r.Draws)
	for _, said := range r.Streams {
		l, err := openEvidenceLayers(said, nil, keys)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range x.examineConnection(l) {
			for _, b := range s {
				x.examine("a stream", b, evidenceOpen)
			}
		}
	}
	all := strings.Join(x.finish(), "\n")
	for _, want := range []string{
		"identify in a stream", "signed peer record in a stream", "agent in a stream", "address in a stream",
		"unknown key", "unknown signature in the dialler's Noise payload", "unknown signature in the listener's Noise payload",
		"unknown signature in a stream", "the text in clear in a stream",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("the examiner does not find: %s", want)
		}
	}
	t.Logf("%d bytes, %d verifications:\n%s", x.looked, x.tried, all)
}
