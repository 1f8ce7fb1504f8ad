package drop_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/onion"
	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
	"github.com/backchannel/backchannel/protocol/wire"
)

const firstDay = 19945

func key(b byte) secret.Key { return secret.New(&[32]byte{b}) }

func exampleCell() *wire.Cell {
	var c wire.Cell
	prototest.Reader(3).Read(c[:])
	return &c
}

func exampleControl() drop.Control {
	c := drop.Control{Time: 1723248000, Flags: drop.FlagCell, Sent: 41, Owed: 3, Received: 17}
	c.Bitmap[0], c.Bitmap[24] = 2, 0x80
	c.Runs[0], c.Runs[1] = drop.Run{Skip: 0, Count: 12}, drop.Run{Skip: 1440, Count: 9}
	return c
}

func exampleForm() drop.Control {
	c := drop.Control{Time: 1723248000, Flags: drop.FlagForm | drop.FlagReport, Sent: 41, Received: 17}
	c.File.ID, c.File.Received, c.File.Bitmap[1] = 0xab, 70000, 3
	return c
}

func exampleChain(t testing.TB) *drop.Chain {
	c := drop.NewChain(key(9), firstDay)
	if err := c.Mix(firstDay+2, 1, key(5)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestVectors(t *testing.T) {
	hex := prototest.Hex
	c := exampleChain(t)
	vectors := []prototest.Vector{{"name": "chain", "root": hex(key(9).Bytes()), "export": hex(key(5).Bytes()), "record": hex(c.Append(nil))}}
	for d := drop.Day(firstDay); d < firstDay+4; d++ {
		k, ok := c.Key(d)
		if !ok {
			t.Fatal("a day has no key")
		}
		vectors[0][fmt.Sprint(d)] = hex(k.Bytes())
	}
	day, _ := c.Key(firstDay)
	period := uint64(firstDay) * 2880
	for replica := range drop.Replicas {
		k := drop.DeriveKeys(day, drop.FromInviter, period, replica)
		a := k.Address()
		vectors = append(vectors, prototest.Vector{
			"name": fmt.Sprint("replica ", replica), "period": fmt.Sprint(period),
			"write": hex(k.Write.Bytes()), "key": hex(k.Box.Bytes()), "address": hex(a[:]),
			"drops": fmt.Sprint(drop.Pair(day, drop.FromInviter, period)),
		})
	}
	k := drop.DeriveKeys(day, drop.FromInviter, period, 0)
	for name, control := range map[string]drop.Control{"usual": exampleControl(), "file form": exampleForm()} {
		vectors = append(vectors, prototest.Vector{
			"name": name, "control": hex(control.Append(nil)),
			"box": hex(drop.Seal(k.Box, &[32]byte{7}, control, exampleCell())[:]),
		})
	}
	if vectors[3]["name"] != "usual" {
		vectors[3], vectors[4] = vectors[4], vectors[3]
	}
	token, ok := drop.Work(onion.ID{1}, k.Write.Bytes(), 12, 1<<20)
	if !ok {
		t.Fatal("no work found")
	}
	meeting := drop.MeetingRoot(bytes.Repeat([]byte{6}, 16), []byte("invitation"))
	hour := drop.HourKey(meeting, firstDay*24)
	answer := drop.HourKey(drop.AnswerRoot(meeting, [32]byte{4}), firstDay*24)
	card := drop.DeriveKeys(hour, drop.FromAccepter, 3, 0)
	m1 := drop.DeriveKeys(answer, drop.FromInviter, 0, 0)
	rec := drop.DeriveKeys(drop.RecoveryKey(key(8), firstDay), drop.FromAccepter, 7, 1)
	sealed := drop.SealKey(k.Box, drop.SessionKey(key(3)))
	idle := drop.DeriveKeys(drop.IdleKey(key(2), 1), drop.Idle, period, 0)
	vectors = append(vectors, prototest.Vector{
		"name": "others", "token": hex(token.Append(nil)), "card": hex(card.Write.Bytes()), "m1": hex(m1.Write.Bytes()),
		"recovery": hex(rec.Write.Bytes()), "idle": hex(idle.Write.Bytes()), "session": hex(sealed.Bytes()),
	})
	prototest.Replay(t, "testdata/drop.json", vectors)
}

// TestDerivationsAreThoseOfThePage derives the keys of a box again, from the formulas.
func TestDerivationsAreThoseOfThePage(t *testing.T) {
	c := exampleChain(t)
	d := binary.BigEndian.AppendUint32
	day := label.DeriveKey(label.DropChain, key(9), d(nil, firstDay))
	day = label.DeriveKey(label.DropDay, day, d(nil, firstDay+1))
	export := label.DeriveKey(label.DropExport, key(5), d(nil, 1))
	day = label.DeriveKey(label.DropDay, day, d(nil, firstDay+2), export.Bytes())
	if got, _ := c.Key(firstDay + 2); !got.Equal(day) {
		t.Error("another day key")
	}
	info := binary.BigEndian.AppendUint64([]byte{2}, 77)
	out := label.Derive(label.DropBox, day.Bytes(), nil, 64, append(bytes.Clone(info), 1))
	k := drop.DeriveKeys(day, drop.FromAccepter, 77, 1)
	if !bytes.Equal(k.Write.Bytes(), out[:32]) || !bytes.Equal(k.Box.Bytes(), out[32:]) {
		t.Error("other keys")
	}
	if k.Address() != label.Hash(label.DropAddress, out[:32]) {
		t.Error("another address")
	}
	x := binary.BigEndian.Uint64(label.Derive(label.DropReplicas, day.Bytes(), nil, 8, info)) % 6
	table := [6][2]int{{0, 1}, {0, 2}, {1, 0}, {1, 2}, {2, 0}, {2, 1}}
	if drop.Pair(day, drop.FromAccepter, 77) != table[x] {
		t.Error("other drops")
	}
}

// TestEachInputCounts: no two places share a key.
func TestEachInputCounts(t *testing.T) {
	seen := map[drop.Address]string{}
	for _, day := range []byte{1, 2} {
		for _, d := range []drop.Direction{drop.FromInviter, drop.FromAccepter, drop.Idle} {
			for _, period := range []uint64{0, 1, 256, 1 << 40} {
				for replica := range drop.Replicas {
					name := fmt.Sprint(day, d, period, replica)
					k := drop.DeriveKeys(key(day), d, period, replica)
					if k.Write.Equal(k.Box) {
						t.Error("one key for two uses")
					}
					if before, taken := seen[k.Address()]; taken {
						t.Errorf("%s and %s share an address", before, name)
					}
					seen[k.Address()] = name
				}
			}
		}
	}
}

func TestPairsAreDrawnEvenly(t *testing.T) {
	var count [drop.SetSize][drop.SetSize]int
	const n = 12000
	for p := range uint64(n) {
		pair := drop.Pair(key(1), drop.FromInviter, p)
		count[pair[0]][pair[1]]++
	}
	for a := range count {
		for b, got := range count[a] {
			if want := n / 6; a == b && got != 0 || a != b && (got < want-200 || got > want+200) {
				t.Errorf("drops %d and %d: %d times", a, b, got)
			}
		}
	}
}

func TestChainLeadsForwardOnly(t *testing.T) {
	c := exampleChain(t)
	var want []secret.Key
	for d := drop.Day(firstDay); d < firstDay+6; d++ {
		k, _ := c.Key(d)
		want = append(want, k)
	}
	kept, err := drop.ParseChain(c.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	kept.Forget(firstDay + 1)
	kept.Forget(firstDay) // nothing comes back
	if _, ok := kept.Key(firstDay); ok || kept.First() != firstDay+1 {
		t.Error("a day that was forgotten has a key")
	}
	if bytes.Contains(kept.Append(nil), want[0].Bytes()) {
		t.Error("the record still holds the key of a day that was forgotten")
	}
	for i, w := range want[1:] {
		if got, ok := kept.Key(firstDay + 1 + drop.Day(i)); !ok || !got.Equal(w) {
			t.Errorf("day %d after: another key", i+1)
		}
	}
	kept.Forget(firstDay + 3)
	if got, _ := kept.Key(firstDay + 4); !got.Equal(want[4]) {
		t.Error("another key after the export has entered")
	}
	if err := kept.Mix(firstDay+3, 2, key(1)); err == nil {
		t.Error("an export enters a day that has a key already")
	}
	plain := drop.NewChain(key(9), firstDay)
	if k, _ := plain.Key(firstDay + 1); !k.Equal(want[1]) {
		t.Error("the export changes a day before its own")
	}
	if k, _ := plain.Key(firstDay + 2); k.Equal(want[2]) {
		t.Error("the export changes nothing")
	}
}

func TestExportsEnterByNumber(t *testing.T) {
	a, b := drop.NewChain(key(9), firstDay), drop.NewChain(key(9), firstDay)
	for _, n := range []uint32{1, 2, 3} {
		if a.Mix(firstDay+5, n, key(byte(n))) != nil || b.Mix(firstDay+5, 4-n, key(byte(4-n))) != nil {
			t.Fatal("an export is refused")
		}
	}
	ka, _ := a.Key(firstDay + 5)
	kb, _ := b.Key(firstDay + 5)
	if !ka.Equal(kb) {
		t.Error("the order in which exports came matters")
	}
	if a.Mix(firstDay+6, 2, key(1)) == nil {
		t.Error("a number twice")
	}
	for n := uint32(10); len(a.Append(nil)) < 37+drop.MaxExports*40; n++ {
		if err := a.Mix(firstDay+7, n, key(1)); err != nil {
			t.Fatal(err)
		}
	}
	if a.Mix(firstDay+7, 9999, key(1)) == nil {
		t.Error("exports without a bound")
	}
}

func TestChainRecordIsStrict(t *testing.T) {
	record := exampleChain(t).Append(nil)
	for n := range record {
		if _, err := drop.ParseChain(record[:n]); err == nil {
			t.Errorf("cut to %d: accepted", n)
		}
	}
	for i := range record {
		b := bytes.Clone(record)
		b[i] ^= 1
		if c, err := drop.ParseChain(b); err == nil && !bytes.Equal(c.Append(nil), b) {
			t.Errorf("byte %d: two encodings", i)
		}
	}
}

// TestChainKeysHaveBounds: a clock that is far off is not followed, neither way.
func TestChainKeysHaveBounds(t *testing.T) {
	c := drop.NewChain(key(9), firstDay)
	if _, ok := c.Key(firstDay + 4000); !ok {
		t.Error("a day in ten years has no key")
	}
	for _, d := range []drop.Day{firstDay + 4001, firstDay - 1, 0, math.MaxUint32} {
		if _, ok := c.Key(d); ok {
			t.Errorf("day %d has a key", d)
		}
	}
	if _, ok := drop.NewChain(key(9), math.MaxUint32-1).Key(3); ok {
		t.Error("after the last day come the first ones")
	}
}

// TestChainRecordHasOneOrder: exports stand by day and number, each number once, all of
// them after the day of the key, and no more than a chain takes.
func TestChainRecordHasOneOrder(t *testing.T) {
	type at struct {
		day    drop.Day
		number uint32
	}
	record := func(exports ...at) []byte {
		b := drop.NewChain(key(9), firstDay).Append(nil)
		b[len(b)-1] = byte(len(exports))
		for _, e := range exports {
			b = binary.BigEndian.AppendUint32(b, uint32(e.day))
			b = binary.BigEndian.AppendUint32(b, e.number)
			b = append(b, key(byte(e.number)).Bytes()...)
		}
		return b
	}
	many := func(n uint32) (all []at) {
		for i := range n {
			all = append(all, at{firstDay + 1, i})
		}
		return all
	}
	for name, good := range map[string][]byte{
		"in order": record(at{firstDay + 1, 5}, at{firstDay + 1, 6}, at{firstDay + 2, 4}),
		"full":     record(many(drop.MaxExports)...),
	} {
		if c, err := drop.ParseChain(good); err != nil || !bytes.Equal(c.Append(nil), good) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, bad := range map[string][]byte{
		"on the day of the key":      record(at{firstDay, 1}),
		"before it":                  record(at{firstDay - 1, 1}),
		"days fall":                  record(at{firstDay + 2, 1}, at{firstDay + 1, 2}),
		"numbers of a day fall":      record(at{firstDay + 1, 2}, at{firstDay + 1, 1}),
		"a number twice in a day":    record(at{firstDay + 1, 2}, at{firstDay + 1, 2}),
		"a number twice in two days": record(at{firstDay + 1, 2}, at{firstDay + 2, 2}),
		"too many":                   record(many(drop.MaxExports + 1)...),
	} {
		if _, err := drop.ParseChain(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestBoxOpensOnlyWhole(t *testing.T) {
	k := drop.DeriveKeys(key(1), drop.FromInviter, 9, 0)
	for _, c := range []drop.Control{exampleControl(), exampleForm(), {}} {
		box := drop.Seal(k.Box, &[32]byte{7}, c, exampleCell())
		got, cell, err := drop.Open(k.Box, box)
		if err != nil || got != c || *cell != *exampleCell() {
			t.Fatalf("%v: %v", c, err)
		}
		prototest.Flip(t, box[:], func(b []byte) bool {
			_, _, err := drop.Open(k.Box, (*drop.Box)(b))
			return err == nil
		})
	}
	other := drop.DeriveKeys(key(1), drop.FromInviter, 9, 1)
	if _, _, err := drop.Open(other.Box, drop.Seal(k.Box, &[32]byte{7}, exampleControl(), exampleCell())); err == nil {
		t.Error("the other replica's key opens it")
	}
	bad := drop.Control{Flags: wire.FlagResume}
	if _, _, err := drop.Open(k.Box, drop.Seal(k.Box, &[32]byte{7}, bad, exampleCell())); err == nil {
		t.Error("a control block that is refused came through a box")
	}
}

// TestReplicasHaveNothingInCommon: two copies of one period look like two strangers'.
func TestReplicasHaveNothingInCommon(t *testing.T) {
	boxes := [2]*drop.Box{}
	for i := range boxes {
		k := drop.DeriveKeys(key(1), drop.FromInviter, 9, i)
		boxes[i] = drop.Seal(k.Box, &[32]byte{7}, exampleControl(), exampleCell())
	}
	same := 0
	for i := range boxes[0] {
		if boxes[0][i] == boxes[1][i] {
			same++
		}
	}
	if same > 50 { // 16 of 4,200 by chance
		t.Errorf("%d bytes are the same", same)
	}
}

func TestControlRefuses(t *testing.T) {
	alter := func(form bool, f func(c *drop.Control)) []byte {
		c := exampleControl()
		if form {
			c = exampleForm()
		}
		f(&c)
		return c.Append(nil)
	}
	for name, b := range map[string][]byte{
		"resume":          alter(false, func(c *drop.Control) { c.Flags |= wire.FlagResume }),
		"unknown flag":    alter(false, func(c *drop.Control) { c.Flags |= 64 }),
		"two cells":       alter(false, func(c *drop.Control) { c.Flags |= drop.FlagFile }),
		"flight and cell": alter(false, func(c *drop.Control) { c.Flags |= drop.FlagFlight }),
		"flight, sent":    alter(false, func(c *drop.Control) { c.Flags = drop.FlagFlight }),
		"flight, runs":    drop.Control{Flags: drop.FlagFlight, Runs: [6]drop.Run{{Count: 1}}}.Append(nil),
		"flight, form":    drop.Control{Flags: drop.FlagFlight | drop.FlagForm}.Append(nil),
		"owed":            alter(false, func(c *drop.Control) { c.Owed = 42 }),
		"bitmap":          alter(false, func(c *drop.Control) { c.Bitmap[0] |= 1 }),
		"no count":        alter(false, func(c *drop.Control) { c.Runs[1].Count = 0 }),
		"hole":            alter(false, func(c *drop.Control) { c.Runs[3] = drop.Run{Skip: 1, Count: 1} }),
		"touching runs":   alter(false, func(c *drop.Control) { c.Runs[1].Skip = 0 }),
		"too far":         alter(false, func(c *drop.Control) { c.Runs[1].Skip = cadence.MaxPeriods }),
		"form, bitmap":    alter(true, func(c *drop.Control) { c.File.Bitmap[0] |= 1 }),
		"form, received":  alter(true, func(c *drop.Control) { c.File.Received = 1_073_743 }),
		"short":           exampleControl().Append(nil)[:63],
		"long":            append(exampleControl().Append(nil), 0),
	} {
		if _, err := drop.ParseControl(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestControlIsReadFromEveryCut(t *testing.T) {
	for _, c := range []drop.Control{exampleControl(), exampleForm(), {Flags: drop.FlagFlight}} {
		b := c.Append(nil)
		for n := range b {
			if _, err := drop.ParseControl(b[:n]); err == nil {
				t.Errorf("cut to %d: accepted", n)
			}
		}
		for i := range b {
			b[i] ^= 1 << (i % 8)
			if got, err := drop.ParseControl(b); err == nil && (got == c || !bytes.Equal(got.Append(nil), b)) {
				t.Errorf("byte %d flipped: read as the same, or as something else", i)
			}
			b[i] ^= 1 << (i % 8)
		}
	}
}

// TestRunsTellWhatWasWritten: what a reader makes of the runs is what the writer
// wrote, as far as there is room, and always canonical.
func TestRunsTellWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := uint64(rapid.IntRange(1, 20000).Draw(t, "start"))
		var written []drop.Stretch
		for range rapid.IntRange(0, 9).Draw(t, "stretches") {
			from := at + uint64(rapid.IntRange(1, 900).Draw(t, "gap"))
			to := from + uint64(rapid.IntRange(0, 3000).Draw(t, "length"))
			written, at = append(written, drop.Stretch{From: from, To: to}), to+1
		}
		period := at + uint64(rapid.IntRange(0, 5000).Draw(t, "later"))
		runs := drop.RunsBefore(period, written)
		if _, err := drop.ParseControl(drop.Control{Runs: runs}.Append(nil)); err != nil {
			t.Fatalf("%v: not canonical", runs)
		}
		got := drop.Stretches(period, runs)
		slices.Reverse(got)
		var want []drop.Stretch
		for _, s := range written {
			if period > cadence.MaxPeriods {
				s.From = max(s.From, period-cadence.MaxPeriods)
			}
			if s.From <= s.To {
				want = append(want, s)
			}
		}
		want = want[max(0, len(want)-drop.MaxRuns):]
		if !slices.Equal(got, want) {
			t.Fatalf("told %v, wrote %v", got, want)
		}
	})
}

func TestRunsNeverReachBeforeTheBeginning(t *testing.T) {
	if got := drop.Stretches(5, [drop.MaxRuns]drop.Run{{Skip: 1, Count: 3}, {Skip: 1, Count: 2}}); !slices.Equal(got, []drop.Stretch{{From: 1, To: 3}}) {
		t.Errorf("%v", got)
	}
}

func TestStatusFitsItsCommand(t *testing.T) {
	var random drop.Box
	for s := range 256 {
		n := 0
		for _, c := range []onion.Command{onion.Put, onion.Get, onion.Loop, 0, 9} {
			got, box, err := drop.Read(c, onion.Answer{Status: byte(s), Box: &random})
			if err != nil {
				continue
			}
			n++
			if got != drop.Status(s) || (box != nil) != (got == drop.Found) {
				t.Errorf("status %d: %v", s, got)
			}
		}
		if want := map[drop.Status]int{drop.Failed: 2}[drop.Status(s)]; s == 0 && n > 0 || s > 8 && n > 0 || s >= 1 && s <= 8 && n != max(1, want) {
			t.Errorf("status %d answers %d commands", s, n)
		}
	}
}

func TestWork(t *testing.T) {
	w := key(1).Bytes()
	token, ok := drop.Work(onion.ID{1}, w, 10, 1<<20)
	if !ok || token.Bits(onion.ID{1}, w) < 10 {
		t.Fatal("no work")
	}
	if token.Bits(onion.ID{2}, w) >= 10 && token.Bits(onion.ID{3}, w) >= 10 {
		t.Error("work counts at other drops")
	}
	if token.Bits(onion.ID{1}, key(2).Bytes()) >= 10 && token.Bits(onion.ID{1}, key(3).Bytes()) >= 10 {
		t.Error("work counts for other addresses")
	}
	if _, ok := drop.Work(onion.ID{1}, w, 200, 10); ok {
		t.Error("work without an end")
	}
	if (drop.Token{}).Bits(onion.ID{1}, w) != 0 {
		t.Error("none is some")
	}
	padded := append(token.Append(nil), make([]byte, 118)...)
	if got, err := drop.ParseToken(padded); err != nil || got != token {
		t.Errorf("%v, %v", got, err)
	}
	for _, b := range [][]byte{padded[:8], {0, 0, 0, 0, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 0, 0, 0, 0}, append(bytes.Clone(padded), 1)} {
		if _, err := drop.ParseToken(b); err == nil {
			t.Errorf("%x: accepted", b)
		}
	}
}

func FuzzControl(f *testing.F) {
	f.Add(exampleControl().Append(nil))
	f.Add(exampleForm().Append(nil))
	f.Add(make([]byte, drop.ControlSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := drop.ParseControl(b)
		if err != nil {
			return
		}
		if !bytes.Equal(c.Append(nil), b) {
			t.Errorf("%x has two encodings", b)
		}
		const period = 1 << 20
		s := drop.Stretches(period, c.Runs)
		slices.Reverse(s)
		if drop.RunsBefore(period, s) != c.Runs {
			t.Errorf("%v: runs have two readings", c.Runs)
		}
	})
}

func FuzzToken(f *testing.F) {
	f.Add(drop.Token{}.Append(nil))
	f.Add(drop.Token{Kind: drop.TokenWork, Nonce: 7}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if token, err := drop.ParseToken(b); err == nil && !bytes.Equal(token.Append(nil), b[:9]) {
			t.Errorf("%x has two encodings", b)
		}
	})
}

func FuzzChain(f *testing.F) {
	f.Add(exampleChain(f).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := drop.ParseChain(b); err == nil && !bytes.Equal(c.Append(nil), b) {
			t.Errorf("%x has two encodings", b)
		}
	})
}
