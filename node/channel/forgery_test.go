package channel_test

import (
	"testing"
	"math/rand/v2"
	"time"
	"github.com/backchannel/backchannel/protocol/forge"
)

const forgeryPrompt = false

func TestForgeryTry(t *testing.T) {
	s := time.Now()
	for i := range uint64(50) {
		script := drawForgeryScript(rand.New(forgerySource(i, 's')))
		w, err := playForgerySession(i, script)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []*forgeryMachine{w.a, w.b} {
			tr, err := w.disclose(m)
			if err != nil {
				t.Fatal(err)
			}
			_, err = tr.Check()
			for _, e := range tr.Entries[:5] {
				if i < 2 {
					t.Log(m.name, e.FromPeer, e.Body[:10])
				}
			}
			if err != nil {
				t.Fatal(i, err)
			}
			_, err = forge.Parse(tr.Append(nil))
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Log(time.Since(s))
}
