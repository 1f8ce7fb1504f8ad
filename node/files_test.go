package node_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
)

// newFile writes a file of random bytes outside the machine's home.
func newFile(t testing.TB, size int64) (path, sum string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "report.bin")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(f, h), rand.NewChaCha8([32]byte{byte(size)}), size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path, hex.EncodeToString(h.Sum(nil))
}

// fileAt waits for a file to be in a state, at the one who sends or receives it.
func (m *machine) fileAt(d channel.Direction, s channel.FileState) (f channel.FileView) {
	m.t.Helper()
	until(m.t, "a file is "+s.Words(d), func() bool {
		list, err := m.Files(m.t.Context(), peer)
		if err != nil {
			m.t.Fatal(err)
		}
		i := slices.IndexFunc(list, func(f channel.FileView) bool { return f.Direction == d && f.State == s })
		if i >= 0 {
			f = list[i]
		}
		return i >= 0
	})
	return f
}

func (m *machine) sendFile(path string) channel.FileView {
	m.t.Helper()
	f, err := m.SendFile(m.t.Context(), peer, path, "")
	if err != nil {
		m.t.Fatal(err)
	}
	return f
}

// sum is that of a file that came.
func (m *machine) sum(seq uint64) string {
	m.t.Helper()
	sum, err := contentSum(m.t.Context(), m.Node, seq)
	if err != nil {
		m.t.Fatal(err)
	}
	return sum
}

// impatient asks again soon, so that a test with a bad network does not wait.
func impatient(c *channel.Config) {
	c.KeepAlive, c.ResendAfter = 200*time.Millisecond, 300*time.Millisecond
}

func TestFilesArrive(t *testing.T) {
	t.Parallel()
	a, b := newMachine(t, freeSettings(t), hooks{}), newMachine(t, freeSettings(t), hooks{})
	w := newTalk(t, a, b)
	w.meet()
	for _, size := range []int64{0, 1, 3999, 4000, 4001, 64_000, 64_001, 1 << 20, 5 << 20} {
		path, sum := newFile(t, size)
		sent := a.sendFile(path)
		var f channel.FileView
		until(t, "the file is there", func() bool {
			list, err := b.Files(t.Context(), peer)
			if err != nil {
				t.Fatal(err)
			}
			if len(list) > 0 {
				f = list[len(list)-1]
			}
			return len(list) > 0 && f.Size == uint64(size) && f.State == channel.FileWhole
		})
		if f.Text != "report.bin" || f.Done != f.Size || b.sum(f.Seq) != sum {
			t.Errorf("%d bytes: %+v", size, f)
		}
		until(t, "the sender knows", func() bool {
			f, err := a.File(t.Context(), peer, sent.Seq)
			if err != nil {
				t.Fatal(err)
			}
			return f.State == channel.FileWhole && f.Done == f.Size && f.Message.State == channel.Delivered
		})
		if err := b.RemoveFile(t.Context(), peer, f.Seq); err != nil {
			t.Fatal(err)
		}
		if _, err := b.FileContent(t.Context(), peer, f.Seq, 0); !errors.Is(err, channel.ErrNotWhole) {
			t.Errorf("after it was removed: %v", err)
		}
	}
}

// TestLargeFileWaits offers a file that is too large to come by itself.
func TestLargeFileWaits(t *testing.T) {
	t.Parallel()
	a := newMachine(t, freeSettings(t), hooks{})
	b := newMachine(t, freeSettings(t), hooks{channel: func(c *channel.Config) { c.TakeFile = 1000 }})
	w := newTalk(t, a, b)
	w.meet()
	path, sum := newFile(t, 100_000)
	a.sendFile(path)
	f := b.fileAt(channel.In, channel.FileOffered)
	b.restart()
	a.fileAt(channel.Out, channel.FileOffered)
	if err := b.TakeFile(t.Context(), peer, f.Seq); err != nil {
		t.Fatal(err)
	}
	if f = b.fileAt(channel.In, channel.FileWhole); b.sum(f.Seq) != sum {
		t.Error("the content is another")
	}
	a.fileAt(channel.Out, channel.FileWhole)

	a.sendFile(path)
	f = b.fileAt(channel.In, channel.FileOffered)
	if err := b.RemoveFile(t.Context(), peer, f.Seq); err != nil {
		t.Fatal(err)
	}
	a.fileAt(channel.Out, channel.FileDeclined)

	f = a.sendFile(path)
	b.fileAt(channel.In, channel.FileOffered)
	if err := a.RemoveFile(t.Context(), peer, f.Seq); err != nil {
		t.Fatal(err)
	}
	b.fileAt(channel.In, channel.FileEnded)
}

// TestChangedFile changes a file while it waits to go on: it is not sent in a
// mixture, and the new content is never sealed under the old key.
func TestChangedFile(t *testing.T) {
	t.Parallel()
	change := map[string]func(path string) error{
		"a byte of it": func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte("changed"), 150_000)
			return errors.Join(err, f.Close())
		},
		"shorter": func(path string) error { return os.Truncate(path, 150_000) },
		"longer": func(path string) error {
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("more")
			return errors.Join(err, f.Close())
		},
	}
	for name, f := range change {
		t.Run(name, func(t *testing.T) {
			a := newMachine(t, freeSettings(t), hooks{})
			b := newMachine(t, freeSettings(t), hooks{channel: func(c *channel.Config) { c.TakeFile = 1000 }})
			w := newTalk(t, a, b)
			w.meet()
			path, _ := newFile(t, 200_000)
			a.sendFile(path)
			offer := b.fileAt(channel.In, channel.FileOffered)
			if err := f(path); err != nil {
				t.Fatal(err)
			}
			if err := b.TakeFile(t.Context(), peer, offer.Seq); err != nil {
				t.Fatal(err)
			}
			a.fileAt(channel.Out, channel.FileChanged)
			if got := b.fileAt(channel.In, channel.FileEnded); got.Done != 0 {
				t.Errorf("%d bytes of a file that had changed", got.Done)
			}
		})
	}
}

// TestLostFile takes a file away before it was sent; it goes on when it is back.
func TestLostFile(t *testing.T) {
	t.Parallel()
	a := newMachine(t, freeSettings(t), hooks{channel: impatient})
	b := newMachine(t, freeSettings(t), hooks{channel: func(c *channel.Config) { c.TakeFile = 1000 }})
	w := newTalk(t, a, b)
	w.meet()
	path, sum := newFile(t, 200_000)
	sent := a.sendFile(path)
	offer := b.fileAt(channel.In, channel.FileOffered)
	if err := os.Rename(path, path+"x"); err != nil {
		t.Fatal(err)
	}
	if err := b.TakeFile(t.Context(), peer, offer.Seq); err != nil {
		t.Fatal(err)
	}
	until(t, "the trouble is told", func() bool {
		f, err := a.File(t.Context(), peer, sent.Seq)
		return err == nil && f.Trouble != ""
	})
	if err := os.Rename(path+"x", path); err != nil {
		t.Fatal(err)
	}
	if f := b.fileAt(channel.In, channel.FileWhole); b.sum(f.Seq) != sum {
		t.Error("the content is another")
	}
}

func TestUnfitFiles(t *testing.T) {
	t.Parallel()
	a, b := newMachine(t, freeSettings(t), hooks{}), newMachine(t, freeSettings(t), hooks{})
	newTalk(t, a, b).meet()
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, 5<<30); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		dir: node.ErrNotRegular, filepath.Join(dir, "none"): node.ErrUnreadable, os.DevNull: node.ErrNotRegular, large: channel.ErrFileSize,
	} {
		if _, err := a.SendFile(t.Context(), peer, path, ""); !errors.Is(err, want) {
			t.Errorf("%v, not %v", err, want)
		}
	}
	path, _ := newFile(t, 10)
	if _, err := a.SendFile(t.Context(), peer, path, string(bytes.Repeat([]byte("x"), 256))); !errors.Is(err, channel.ErrFileName) {
		t.Errorf("a long name: %v", err)
	}
}

// TestFileOverMangledNetwork sends files both ways over a network that cuts,
// doubles, swaps and alters, with texts between them.
func TestFileOverMangledNetwork(t *testing.T) {
	t.Parallel()
	m := &mangler{rng: rand.New(rand.NewPCG(3, 4))}
	h := hooks{conn: m.conn, channel: impatient}
	a, b := newMachine(t, freeSettings(t), h), newMachine(t, freeSettings(t), h)
	w := newTalk(t, a, b)
	w.meet()
	path, sum := newFile(t, int64(few(10))*300_000)
	a.sendFile(path)
	b.sendFile(path)
	for i := range few(100) {
		w.say(a, fmt.Sprint("a ", i))
		w.say(b, fmt.Sprint("b ", i))
	}
	for _, x := range []*machine{a, b} {
		if f := x.fileAt(channel.In, channel.FileWhole); x.sum(f.Seq) != sum {
			t.Error("the content is another")
		}
		x.fileAt(channel.Out, channel.FileWhole)
	}
	w.undisturbed()
}

// fileSizeEnv asks for a larger file; see docs/figures.md.
const fileSizeEnv = "NODE_TEST_FILE_MIB"

// TestFileWithKills kills both sides ten times while a file is on its way.
func TestFileWithKills(t *testing.T) {
	t.Parallel()
	mebis, err := strconv.ParseInt(cmp.Or(os.Getenv(fileSizeEnv), "4"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{0, 1, mebis << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			a, b := newProcess(t, freeSettings(t)), newProcess(t, freeSettings(t))
			w := newTalk(t, a, b)
			w.meet()
			path, sum := newFile(t, size)
			kills, turn := 0, a
			for _, p := range []*process{a, b} {
				p.end()
				p.next = func() bomb {
					if p != turn || kills >= 20 {
						return bomb{}
					}
					return bomb{Kind: "time", When: "after", At: 60 + rand.IntN(int(100+mebis*10))}
				}
				p.died = func(bomb) {
					if kills++; kills%2 == 0 {
						turn = a
					} else {
						turn = b
					}
				}
			}
			for len(a.must(command{Do: "files"}).Files) == 0 {
				a.call(command{Do: "file", Text: path})
			}
			done := func(p *process) (f channel.FileView, ok bool) {
				list := p.must(command{Do: "files"}).Files
				if len(list) == 0 {
					return f, false
				}
				return list[0], list[0].State == channel.FileWhole
			}
			deadline := time.Now().Add(patience + time.Duration(mebis)*time.Second)
			for {
				if turn.cmd != nil && turn.bomb.Kind == "" && kills < 20 {
					turn.end() // its next life has a bomb
				}
				_, left := done(a)
				f, right := done(b)
				if left && right && kills >= 20 {
					if got := b.must(command{Do: "content", Text: strconv.FormatUint(f.Seq, 10)}); got.Text != sum {
						t.Error("the content is another")
					}
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%d kills; %+v", kills, f)
				}
			}
			w.undisturbed()
			t.Logf("%d bytes, %d kills", size, kills)
		})
	}
}

// BenchmarkFile sends a file from one machine to another over loopback, both with
// their stores on the disk. FILE_MIB says how large it is.
func BenchmarkFile(b *testing.B) {
	mebis, err := strconv.ParseInt(cmp.Or(os.Getenv(fileSizeEnv), "16"), 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	take := hooks{channel: func(c *channel.Config) { c.TakeFile = 8 << 30 }}
	x, y := newMachine(b, freeSettings(b), hooks{}), newMachine(b, freeSettings(b), take)
	newTalk(b, x, y).meet()
	path, _ := newFile(b, mebis<<20)
	b.SetBytes(mebis << 20)
	for b.Loop() {
		_, events, err := x.Follow(context.Background(), peer, 0)
		if err != nil {
			b.Fatal(err)
		}
		f := x.sendFile(path)
		for e := range events {
			if e.Message.Seq == f.Seq && e.Message.FileState == channel.FileWhole {
				break
			}
		}
	}
}
