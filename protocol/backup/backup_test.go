package backup_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/protocol/backup"
	"github.com/backchannel/backchannel/protocol/handshake"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
)

var words = []byte("harbour oxide velvet plank seldom monsoon")

func cheap() backup.Secrets { return backup.Secrets{Passphrase: words, Cost: backup.Cheap} }

func exampleContact(t testing.TB, n byte) backup.Contact {
	t.Helper()
	card := func(seed byte) (secret.Key, identity.Card) {
		static := secret.New(&[32]byte{8 * seed, n}) // X25519 clears the three lowest bits
		public, err := handshake.PublicKey(static.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		place, err := identity.PlaceOf("192.0.2.1:4127")
		if err != nil {
			t.Fatal(err)
		}
		return static, identity.Card{Static: public, Strict: n == 2, Place: place}
	}
	c := backup.Contact{
		Number: uint32(n), Made: 29_000_000, Side: identity.Inviter, Mode: handshake.Mutual, Mark: 1, MarkedAt: 29_000_100,
		Dial: secret.New(&[32]byte{3, n}), Recovery: secret.New(&[32]byte{4, n}), Month: 691, Name: "Larch",
	}
	c.Static, c.OwnCard = card(1)
	_, c.PeerCard = card(2)
	c.OwnPlace = c.OwnCard.Place
	if n == 2 {
		c.Side, c.Mode, c.Mark, c.MarkedAt, c.UsedTwice, c.Name = identity.Accepter, handshake.Strict, 0, 0, true, "Alder desk"
		c.PeerPlace, _ = identity.PlaceOf("finch.example:4127")
		c.Route, c.Introduced, c.Introducer = backup.RelaysAlone, true, 1
		c.Channels = &backup.Channels{Floor: 29_050_000}
		c.Channels.Used[0] = 1<<1 | 1<<2 // 2 and 3
	}
	return c
}

func example(t testing.TB) *backup.Backup {
	return &backup.Backup{Made: 29_100_000, Contacts: []backup.Contact{exampleContact(t, 1), exampleContact(t, 2)}}
}

func exampleRecords() []backup.Record {
	return []backup.Record{
		{Kind: 5, Object: [16]byte{1}, Seq: 2, Value: []byte("second")},
		{Kind: 1, Object: [16]byte{2}, Value: []byte{}},
		{Kind: 5, Object: [16]byte{1}, Seq: 1, Value: []byte("first")},
	}
}

func seal(t testing.TB, s backup.Secrets, kind backup.Kind, content []byte) []byte {
	t.Helper()
	file, err := backup.Seal(prototest.Reader(7), s, kind, content)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestVectors(t *testing.T) {
	content := example(t).Append(nil)
	second := cheap()
	second.Second = secret.New(&[32]byte{9})
	var made []prototest.Vector
	for _, c := range []struct {
		name    string
		secrets backup.Secrets
		kind    backup.Kind
		content []byte
	}{
		{"two contacts, Argon2id as the format says", backup.Secrets{Passphrase: words}, backup.Identity, content},
		{"two contacts, Argon2id of 64 KiB, one pass, one lane, second secret 09 00..", second, backup.Identity, content},
		{"records, Argon2id of 64 KiB, one pass, one lane", cheap(), backup.Vault, backup.AppendRecords(nil, exampleRecords())},
	} {
		file := seal(t, c.secrets, c.kind, c.content)
		sum := sha256.Sum256(file)
		root, err := c.secrets.Root(file[:32])
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, prototest.Vector{
			"name": c.name, "passphrase": string(c.secrets.Passphrase), "content": prototest.Hex(c.content),
			"salt": prototest.Hex(file[:32]), "root": prototest.Hex(root.Bytes()), "header and commitment": prototest.Hex(file[32:80]),
			"first bytes of block 0": prototest.Hex(file[80:112]), "tag of block 0": prototest.Hex(file[len(file)-16:]), "SHA-256 of the file": prototest.Hex(sum[:]),
		})
	}
	prototest.Replay(t, "testdata/backup.json", made)
}

func TestSealOpen(t *testing.T) {
	for _, n := range []int{0, 1, 65_435, 65_436, 65_437, 200_000} {
		content := bytes.Repeat([]byte{0xa5}, n)
		file := seal(t, cheap(), backup.Vault, content)
		want := 64 << 10
		for capacity := want - 80 - 16 - 4; n > capacity; capacity = want - 80 - 16*(want>>16) - 4 {
			want *= 2
		}
		if len(file) != want {
			t.Errorf("%d bytes make a file of %d, not %d", n, len(file), want)
		}
		kind, got, err := backup.Open(cheap(), file)
		if err != nil || kind != backup.Vault || !bytes.Equal(got, content) {
			t.Errorf("%d bytes: %v, %d bytes, %v", n, kind, len(got), err)
		}
	}
	if _, err := backup.Seal(prototest.Reader(7), cheap(), backup.Vault, make([]byte, backup.MaxSize)); !errors.Is(err, backup.ErrTooLarge) {
		t.Errorf("as much as the largest file: %v", err)
	}
}

// TestSecrets opens with everything but the right secrets.
func TestSecrets(t *testing.T) {
	with := cheap()
	with.Second = secret.New(&[32]byte{9})
	other := with
	other.Second = secret.New(&[32]byte{8})
	wrong := cheap()
	wrong.Passphrase = []byte("harbour oxide velvet plank seldom monsoom")
	file, plain := seal(t, with, backup.Identity, nil), seal(t, cheap(), backup.Identity, nil)
	for name, c := range map[string]struct {
		s    backup.Secrets
		file []byte
		want error
	}{
		"right": {with, file, nil}, "no second": {cheap(), file, backup.ErrSecret}, "another second": {other, file, backup.ErrSecret},
		"wrong passphrase": {wrong, plain, backup.ErrSecret}, "a second where there is none": {with, plain, backup.ErrSecret},
		"empty":    {backup.Secrets{Cost: backup.Cheap}, plain, backup.ErrSecret},
		"too long": {backup.Secrets{Passphrase: make([]byte, 5000), Cost: backup.Cheap}, plain, backup.ErrSecret},
	} {
		if _, _, err := backup.Open(c.s, c.file); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	composed, apart := cheap(), cheap()
	composed.Passphrase, apart.Passphrase = []byte("caf\u00e9"), []byte("cafe\u0301")
	if _, _, err := backup.Open(apart, seal(t, composed, backup.Identity, nil)); err != nil {
		t.Errorf("the same letter, typed in two ways: %v", err)
	}
	if _, err := backup.Seal(prototest.Reader(7), backup.Secrets{}, backup.Identity, nil); !errors.Is(err, backup.ErrPassphrase) {
		t.Errorf("sealing under nothing: %v", err)
	}
}

// TestTwoFilesShareNoKey seals with a source of randomness that repeats.
func TestTwoFilesShareNoKey(t *testing.T) {
	a, b := seal(t, cheap(), backup.Identity, []byte("one")), seal(t, cheap(), backup.Identity, []byte("two"))
	if bytes.Equal(a[:32], b[:32]) {
		t.Error("other content, the same salt: the key stream is used twice")
	}
	if c := seal(t, cheap(), backup.Vault, []byte("one")); bytes.Equal(a[:32], c[:32]) {
		t.Error("another kind, the same salt")
	}
}

// TestCutAndFlip cuts a file at every length and changes bytes of it.
func TestCutAndFlip(t *testing.T) {
	s, content := cheap(), example(t).Append(nil)
	file := seal(t, s, backup.Identity, content)
	for n := range file {
		if _, _, err := backup.Open(s, file[:n]); !errors.Is(err, backup.ErrSize) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, _, err := backup.Open(s, append(bytes.Clone(file), 0)); !errors.Is(err, backup.ErrSize) {
		t.Fatalf("a byte too many: %v", err)
	}
	if _, _, err := backup.Open(s, append(bytes.Clone(file), file...)); !errors.Is(err, backup.ErrDamaged) {
		t.Fatalf("twice as long: %v", err)
	}
	for i := range 80 {
		file[i] ^= 1 << (i % 8)
		if _, _, err := backup.Open(s, file); !errors.Is(err, backup.ErrSecret) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		file[i] ^= 1 << (i % 8)
	}
	root, err := s.Root(file[:32])
	if err != nil {
		t.Fatal(err)
	}
	// The tag speaks for every byte alike: of those in the middle, every 16th is tried.
	for i := 80; i < len(file); i++ {
		if i > 4096 && i < len(file)-4096 && i%16 != 0 {
			continue
		}
		file[i] ^= 1 << (i % 8)
		if _, err := backup.OpenBlocks(root, file); !errors.Is(err, backup.ErrDamaged) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		file[i] ^= 1 << (i % 8)
	}
	long := seal(t, s, backup.Vault, make([]byte, 100_000))
	if _, _, err := backup.Open(s, long[:len(long)/2]); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("cut to another valid size: %v", err)
	}
	swapped := append(bytes.Clone(long[:80]), long[64<<10:]...)
	if _, _, err := backup.Open(s, append(swapped, long[80:64<<10]...)); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("blocks changed places: %v", err)
	}
}

// TestLooksRandom counts the bits of each place over many files: nothing stands open.
func TestLooksRandom(t *testing.T) {
	const files = 256
	random := prototest.Reader(3)
	var ones [256]int
	for range files {
		file, err := backup.Seal(random, cheap(), backup.Identity, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 128 {
			ones[i] += int(file[i] & 1)
			ones[128+i] += int(file[len(file)-1-i] >> 7)
		}
	}
	for i, n := range ones {
		if math.Abs(float64(n)-files/2) > 6*8 { // six standard deviations
			t.Errorf("place %d: a bit is set in %d of %d files", i, n, files)
		}
	}
}

func TestContent(t *testing.T) {
	want := example(t)
	enc := want.Append(nil)
	got, err := backup.Parse(enc)
	if err != nil || len(got.Contacts) != 2 || got.Made != want.Made || got.Contacts[1].Name != "Alder desk" ||
		got.Contacts[1].Route != backup.RelaysAlone || got.Contacts[1].Introducer != 1 || *got.Contacts[1].Channels != *want.Contacts[1].Channels ||
		got.Contacts[0].OwnPlace != want.Contacts[0].OwnPlace || !got.Contacts[1].Recovery.Equal(want.Contacts[1].Recovery) {
		t.Fatalf("Parse = %+v, %v", got, err)
	}
	for n := range enc {
		if _, err := backup.Parse(enc[:n]); !errors.Is(err, backup.ErrFormat) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := backup.Parse(append(bytes.Clone(enc), 0)); err == nil {
		t.Fatal("a byte too many: accepted")
	}
	for i := range enc {
		b := bytes.Clone(enc)
		b[i] ^= 1 << (i % 8)
		if got, err := backup.Parse(b); err == nil && !bytes.Equal(got.Append(nil), b) {
			t.Fatalf("byte %d changed: accepted, and written otherwise", i)
		}
	}
}

func TestContentRefused(t *testing.T) {
	for name, spoil := range map[string]func(*backup.Backup){
		"order":                   func(b *backup.Backup) { b.Contacts[0], b.Contacts[1] = b.Contacts[1], b.Contacts[0] },
		"number 0":                func(b *backup.Backup) { b.Contacts[0].Number = 0 },
		"one key twice":           func(b *backup.Backup) { b.Contacts[1].PeerCard.Static = b.Contacts[0].PeerCard.Static },
		"own key as peer's":       func(b *backup.Backup) { b.Contacts[0].PeerCard.Static = b.Contacts[0].OwnCard.Static },
		"another static":          func(b *backup.Backup) { b.Contacts[0].Static = secret.New(&[32]byte{77}) },
		"no recovery":             func(b *backup.Backup) { b.Contacts[0].Recovery = secret.New(&[32]byte{}) },
		"no name":                 func(b *backup.Backup) { b.Contacts[0].Name = "" },
		"long name":               func(b *backup.Backup) { b.Contacts[0].Name = strings.Repeat("x", 65) },
		"no UTF-8":                func(b *backup.Backup) { b.Contacts[0].Name = "\xff" },
		"side":                    func(b *backup.Backup) { b.Contacts[0].Side = 3 },
		"mode":                    func(b *backup.Backup) { b.Contacts[0].Mode = 3 },
		"strict card":             func(b *backup.Backup) { b.Contacts[0].PeerCard.Strict = true },
		"mark":                    func(b *backup.Backup) { b.Contacts[0].Mark = 3 },
		"a mark without time":     func(b *backup.Backup) { b.Contacts[0].MarkedAt = 0 },
		"route":                   func(b *backup.Backup) { b.Contacts[0].Route = 3 },
		"an introducer of nobody": func(b *backup.Backup) { b.Contacts[0].Introducer = 2 },
		"introduced by nobody":    func(b *backup.Backup) { b.Contacts[1].Introducer = 3 },
		"introduced by itself":    func(b *backup.Backup) { b.Contacts[1].Introducer = 2 },
		"channel 1 used":          func(b *backup.Backup) { b.Contacts[1].Channels.Used[0] |= 1 },
		"channel 1026 used":       func(b *backup.Backup) { b.Contacts[1].Channels.Used[128] |= 2 },
		"a time without mark":     func(b *backup.Backup) { b.Contacts[1].MarkedAt = 1 },
	} {
		b := example(t)
		spoil(b)
		if b.Valid() {
			t.Errorf("%s: valid", name)
		}
	}
	enc := example(t).Append(nil)
	binary.BigEndian.PutUint16(enc[4:], 65_535)
	if _, err := backup.Parse(enc); !errors.Is(err, backup.ErrFormat) {
		t.Errorf("a count of contacts that are not there: %v", err)
	}
}

// TestVersionOne opens a file as it was made before contacts had routes.
func TestVersionOne(t *testing.T) {
	file, err := os.ReadFile("testdata/version1.bin")
	if err != nil {
		t.Fatal(err)
	}
	kind, content, err := backup.Open(cheap(), file)
	if err != nil || kind != backup.Identity {
		t.Fatalf("Open = %v, %v", kind, err)
	}
	b, err := backup.Parse(content)
	if err != nil || len(b.Contacts) != 2 || b.Contacts[1].Name != "Alder desk" || !b.Contacts[1].UsedTwice ||
		b.Contacts[1].Route != backup.BothRoutes || b.Contacts[1].Introduced || b.Contacts[1].Channels != nil {
		t.Fatalf("Parse = %+v, %v", b, err)
	}
}

func TestRecords(t *testing.T) {
	enc := backup.AppendRecords(nil, exampleRecords())
	got, err := backup.ParseRecords(enc)
	if err != nil || len(got) != 3 || string(got[2].Value) != "second" || backup.RecordsSize(got) != len(enc) {
		t.Fatalf("ParseRecords = %+v, %v", got, err)
	}
	for n := range enc {
		if _, err := backup.ParseRecords(enc[:n]); !errors.Is(err, backup.ErrFormat) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	for name, spoil := range map[string]func([]byte){
		"a count of what is not there": func(b []byte) { b[0] = 0xff },
		"kind 0":                       func(b []byte) { b[4] = 0 },
		"out of order":                 func(b []byte) { b[4] = 9 },
		"a long value":                 func(b []byte) { b[4+25+1] = 0xff },
	} {
		b := bytes.Clone(enc)
		spoil(b)
		if _, err := backup.ParseRecords(b); !errors.Is(err, backup.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(example(f).Append(nil))
	f.Add((&backup.Backup{}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := backup.Parse(b); err == nil && !bytes.Equal(got.Append(nil), b) {
			t.Fatal("accepted, and written otherwise")
		}
	})
}

func FuzzRecords(f *testing.F) {
	f.Add(backup.AppendRecords(nil, exampleRecords()))
	f.Add(backup.AppendRecords(nil, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := backup.ParseRecords(b); err == nil && !bytes.Equal(backup.AppendRecords(nil, got), b) {
			t.Fatal("accepted, and written otherwise")
		}
	})
}
