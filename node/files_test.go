package node_test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
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

// save takes the file that waits, into a folder of its own, and returns its offer.
func (m *machine) save() (f channel.FileView, path string) {
	m.t.Helper()
	f = m.fileAt(channel.In, channel.FileOffered)
	path = filepath.Join(m.t.TempDir(), "saved.bin")
	if err := m.TakeFile(m.t.Context(), peer, f.Seq, path); err != nil {
		m.t.Fatal(err)
	}
	return f, path
}

// fileSum is the SHA-256 of a file on the disk.
func fileSum(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// alone wants a folder to hold nothing but a file, or nothing at all.
func alone(t testing.TB, path string, there bool) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if there && (len(entries) != 1 || entries[0].Name() != filepath.Base(path)) || !there && len(entries) != 0 {
		t.Errorf("beside the file: %v", entries)
	}
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
	for _, size := range []int64{0, 1, 3999, 4000, 4001, 255_999, 256_000, 256_001, 1 << 20, 5 << 20} {
		path, sum := newFile(t, size)
		sent := a.sendFile(path)
		offer, saved := b.save()
		var f channel.FileView
		until(t, "the file is there", func() (ok bool) {
			f, _ = b.File(t.Context(), peer, offer.Seq)
			return f.State == channel.FileWhole
		})
		if f.Text != "report.bin" || f.Done != f.Size || f.Path != saved || fileSum(t, saved) != sum {
			t.Errorf("%d bytes: %+v", size, f)
		}
		alone(t, saved, true)
		if info, err := os.Stat(saved); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		until(t, "the sender knows", func() bool {
			f, err := a.File(t.Context(), peer, sent.Seq)
			if err != nil {
				t.Fatal(err)
			}
			return f.State == channel.FileWhole && f.Done == f.Size && f.Message.State == channel.Delivered
		})
		if err := b.RemoveFile(t.Context(), peer, f.Seq); !errors.Is(err, channel.ErrFileOver) {
			t.Errorf("removed after it came: %v", err)
		}
	}
}

// TestFileWaits looks at offers that are taken after a restart, declined, and
// taken back.
func TestFileWaits(t *testing.T) {
	t.Parallel()
	a, b := newMachine(t, freeSettings(t), hooks{}), newMachine(t, freeSettings(t), hooks{})
	w := newTalk(t, a, b)
	w.meet()
	path, sum := newFile(t, 100_000)
	a.sendFile(path)
	b.fileAt(channel.In, channel.FileOffered)
	b.restart()
	a.fileAt(channel.Out, channel.FileOffered)
	_, saved := b.save()
	if b.fileAt(channel.In, channel.FileWhole); fileSum(t, saved) != sum {
		t.Error("the content is another")
	}
	a.fileAt(channel.Out, channel.FileWhole)

	a.sendFile(path)
	f := b.fileAt(channel.In, channel.FileOffered)
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

// TestPlaces takes files to places that will not do, or that change.
func TestPlaces(t *testing.T) {
	t.Parallel()
	a, b := newMachine(t, freeSettings(t), hooks{}), newMachine(t, freeSettings(t), hooks{channel: impatient})
	w := newTalk(t, a, b)
	w.meet()
	path, sum := newFile(t, 300_000)
	a.sendFile(path)
	f := b.fileAt(channel.In, channel.FileOffered)
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken")
	if err := os.WriteFile(taken, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for place, want := range map[string]error{
		taken: node.ErrPlaceTaken, filepath.Join(dir, "none", "x"): node.ErrNoFolder, filepath.Join(taken, "x"): node.ErrNoFolder,
		filepath.Join(dir, strings.Repeat("x", 300)): node.ErrLongName, "relative": node.ErrNoFolder,
	} {
		if err := b.TakeFile(t.Context(), peer, f.Seq, place); !errors.Is(err, want) {
			t.Errorf("%v, not %v", err, want)
		}
	}

	// The folder goes away before anything was written, and comes back.
	folder := filepath.Join(dir, "stick")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	a.end()
	place := filepath.Join(folder, "report.bin")
	if err := b.TakeFile(t.Context(), peer, f.Seq, place); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(folder, folder+"x"); err != nil {
		t.Fatal(err)
	}
	a.start()
	a.unlock()
	until(t, "the trouble is told", func() bool {
		f, err := b.File(t.Context(), peer, f.Seq)
		return err == nil && f.Trouble != ""
	})
	if err := os.Rename(folder+"x", folder); err != nil {
		t.Fatal(err)
	}
	// Something of the same name is there by then: it stays as it is.
	if err := os.WriteFile(place, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := b.fileAt(channel.In, channel.FileWhole)
	if got.Path != filepath.Join(folder, "report (2).bin") || fileSum(t, got.Path) != sum {
		t.Errorf("%+v", got)
	}
	if mine, err := os.ReadFile(place); err != nil || string(mine) != "mine" {
		t.Errorf("overwritten: %q, %v", mine, err)
	}
}

// TestStopped stops a file on its way, at either side: what had come is deleted.
func TestStopped(t *testing.T) {
	t.Parallel()
	for name, receiver := range map[string]bool{"receiver": true, "sender": false} {
		t.Run(name, func(t *testing.T) {
			a, b := newMachine(t, freeSettings(t), hooks{channel: impatient}), newMachine(t, freeSettings(t), hooks{channel: impatient})
			w := newTalk(t, a, b)
			w.meet()
			path, _ := newFile(t, 64<<20)
			sent := a.sendFile(path)
			f, saved := b.save()
			until(t, "some of it is there", func() bool {
				f, err := b.File(t.Context(), peer, f.Seq)
				return err == nil && f.Done > 0
			})
			if receiver {
				if err := b.RemoveFile(t.Context(), peer, f.Seq); err != nil {
					t.Fatal(err)
				}
				a.fileAt(channel.Out, channel.FileDeclined)
			} else {
				if err := a.RemoveFile(t.Context(), peer, sent.Seq); err != nil {
					t.Fatal(err)
				}
				b.fileAt(channel.In, channel.FileEnded)
			}
			until(t, "nothing is left", func() bool {
				entries, err := os.ReadDir(filepath.Dir(saved))
				return err == nil && len(entries) == 0
			})
		})
	}
}

// TestPartLost deletes or cuts what has come of a file while the node is off: it
// comes anew, and is what was sent.
func TestPartLost(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(string) error{
		"gone": os.Remove,
		"cut":  func(part string) error { return os.Truncate(part, 1000) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newMachine(t, freeSettings(t), hooks{channel: impatient}), newMachine(t, freeSettings(t), hooks{channel: impatient})
			w := newTalk(t, a, b)
			w.meet()
			path, sum := newFile(t, 96<<20)
			a.sendFile(path)
			f, saved := b.save()
			until(t, "much of it is there for good", func() bool {
				f, err := b.File(t.Context(), peer, f.Seq)
				return err == nil && f.Done > 20<<20
			})
			b.end()
			parts, err := filepath.Glob(filepath.Join(filepath.Dir(saved), ".*.part"))
			if err != nil || len(parts) != 1 {
				t.Fatalf("%v, %v", parts, err)
			}
			if err := spoil(parts[0]); err != nil {
				t.Fatal(err)
			}
			b.start()
			b.unlock()
			b.fileAt(channel.In, channel.FileWhole)
			if fileSum(t, saved) != sum {
				t.Error("the content is another")
			}
			alone(t, saved, true)
		})
	}
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
			a, b := newMachine(t, freeSettings(t), hooks{}), newMachine(t, freeSettings(t), hooks{})
			w := newTalk(t, a, b)
			w.meet()
			path, _ := newFile(t, 200_000)
			a.sendFile(path)
			b.fileAt(channel.In, channel.FileOffered)
			if err := f(path); err != nil {
				t.Fatal(err)
			}
			b.save()
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
	b := newMachine(t, freeSettings(t), hooks{})
	w := newTalk(t, a, b)
	w.meet()
	path, sum := newFile(t, 200_000)
	sent := a.sendFile(path)
	b.fileAt(channel.In, channel.FileOffered)
	if err := os.Rename(path, path+"x"); err != nil {
		t.Fatal(err)
	}
	_, saved := b.save()
	until(t, "the trouble is told", func() bool {
		f, err := a.File(t.Context(), peer, sent.Seq)
		return err == nil && f.Trouble != ""
	})
	if err := os.Rename(path+"x", path); err != nil {
		t.Fatal(err)
	}
	if b.fileAt(channel.In, channel.FileWhole); fileSum(t, saved) != sum {
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
	places := map[*machine]string{}
	for _, x := range []*machine{a, b} {
		_, places[x] = x.save()
	}
	for i := range few(100) {
		w.say(a, fmt.Sprint("a ", i))
		w.say(b, fmt.Sprint("b ", i))
	}
	for _, x := range []*machine{a, b} {
		if x.fileAt(channel.In, channel.FileWhole); fileSum(t, places[x]) != sum {
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
	for _, size := range append(oneOf[int64](0, 1), mebis<<20) {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			a, b := newProcess(t, freeSettings(t)), newProcess(t, freeSettings(t))
			w := newTalk(t, a, b)
			w.meet()
			path, sum := newFile(t, size)
			kills, turn, want := 0, a, max(4, few(20))
			for _, p := range []*process{a, b} {
				p.end()
				p.next = func() bomb {
					if p != turn || kills >= want {
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
			saved := filepath.Join(t.TempDir(), "saved.bin")
			done := func(p *process) (f channel.FileView, ok bool) {
				list := p.must(command{Do: "files"}).Files
				if len(list) == 0 {
					return f, false
				}
				if p == b && list[0].State == channel.FileOffered {
					p.call(command{Do: "take", Text: saved, Seq: list[0].Seq})
				}
				return list[0], list[0].State == channel.FileWhole
			}
			deadline := time.Now().Add(3*patience + time.Duration(mebis)*time.Second)
			for {
				if turn.cmd != nil && turn.bomb.Kind == "" && kills < want {
					turn.end() // its next life has a bomb
				}
				_, left := done(a)
				f, right := done(b)
				if left && right && kills >= want {
					if fileSum(t, f.Path) != sum {
						t.Error("the content is another")
					}
					alone(t, saved, true)
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
