package store

import (
	"fmt"
	"maps"
	"math"
	"math/bits"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/backchannel/backchannel/protocol/vault"
)

// features are what a judge makes of a history: numbers with names. Those of the
// clock come from times, which a busy machine blurs.
type features struct {
	names  []string
	values []float64
}

func (f *features) add(name string, v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		v = 0
	}
	f.names, f.values = append(f.names, name), append(f.values, v)
}

// spread adds the mean, the deviation and both ends of some numbers.
func (f *features) spread(name string, all []float64) {
	mean, deviation := meanOf(all)
	f.add(name+" mean", mean)
	f.add(name+" deviation", deviation)
	if len(all) > 0 {
		f.add(name+" least", slices.Min(all))
		f.add(name+" most", slices.Max(all))
	}
}

func meanOf(all []float64) (mean, deviation float64) {
	for _, x := range all {
		mean += x / float64(len(all))
	}
	for _, x := range all {
		deviation += (x - mean) * (x - mean) / float64(len(all))
	}
	return mean, math.Sqrt(deviation)
}

func featuresOf(seen []sighting) features {
	var f features
	f.touches(seen)
	f.places(seen)
	f.bytes(seen)
	f.files(seen)
	f.state(seen)
	f.clock(seen)
	return f
}

// isTick reports whether a sighting is of a tick, and not of all slots or none.
func (s *sighting) isTick() bool { return len(s.touched) == vault.Touch }

// touches looks at which slots change when.
func (f *features) touches(seen []sighting) {
	var counts, overlap, gaps, numbers []float64
	times, last := map[uint32]float64{}, map[uint32]int{}
	for i := 1; i < len(seen); i++ {
		numbers = append(numbers, float64(len(seen[i].touched)))
		if !seen[i].isTick() {
			continue
		}
		same := 0.0
		for j, slot := range seen[i].touched {
			times[slot]++
			if last[slot] == i-1 {
				same++
			}
			last[slot] = i
			if j > 0 {
				gaps = append(gaps, float64(slot-seen[i].touched[j-1]))
			}
		}
		overlap = append(overlap, same)
	}
	for slot := range uint32(judgeSlots) {
		counts = append(counts, times[slot])
	}
	f.spread("slots changed", numbers)
	f.spread("changes of a slot", counts)
	f.spread("slots changed twice in a row", overlap)
	f.spread("gaps between slots changed", gaps)
}

// places looks at where visible blocks land: how evenly over slots, and whether
// they spare slots that were written of late without showing anything.
func (f *features) places(seen []sighting) {
	var numbers, ranks []float64
	var since [judgeSlots]int
	e := newEpoch()
	for i := 1; i < len(seen); i++ {
		s := &seen[i]
		if !s.isTick() {
			if len(s.touched) == judgeSlots { // all was written anew
				e.end()
				since = [judgeSlots]int{}
			}
			continue
		}
		numbers = append(numbers, float64(len(s.landed)))
		rate := float64(len(s.landed)) / float64(len(s.open))
		for j, slot := range s.open {
			landed := slices.Contains(s.landed, slot)
			e.take(slot, rate, landed, min(len(e.recent)-1, since[slot]))
			since[slot]++
			if landed {
				since[slot] = 0
				ranks = append(ranks, float64(j)/float64(len(s.open)))
			}
		}
	}
	e.end()
	f.spread("landings", numbers)
	f.spread("rank of a landing", ranks)
	f.add("dispersion of landings", e.over/e.sum)
	f.add("slots that are spared", e.spared)
	for ago := range e.recent {
		f.add(fmt.Sprint("landings where nothing showed, changes ", ago), (e.recent[ago]-e.expected[ago])/math.Sqrt(1+e.expected[ago]))
	}
}

// epoch is what lay in the slots from one writing of all to the next: deeper blocks
// stay in their places for so long.
type epoch struct {
	of                map[uint32]*[4]float64 // landings in a slot, how many were to be expected, their variance, log of the chance of none
	over, sum, spared float64
	recent, expected  [6]float64 // by how often a slot had changed and shown nothing
}

func newEpoch() *epoch { return &epoch{of: map[uint32]*[4]float64{}} }

func (e *epoch) take(slot uint32, rate float64, landed bool, ago int) {
	o := e.of[slot]
	if o == nil {
		o = new([4]float64)
		e.of[slot] = o
	}
	o[1] += rate
	o[2] += rate * (1 - rate)
	o[3] += math.Log1p(-rate)
	e.expected[ago] += rate
	if landed {
		o[0]++
		e.recent[ago]++
	}
}

func (e *epoch) end() {
	for _, o := range e.of {
		e.over += (o[0] - o[1]) * (o[0] - o[1])
		e.sum += o[2]
		if e.spared -= math.Exp(o[3]); o[0] == 0 {
			e.spared++
		}
	}
	clear(e.of)
}

// bytes looks into the slots that show nothing.
func (f *features) bytes(seen []sighting) {
	parts := [...]struct {
		name     string
		from, to int
	}{{"draw", 0, 16}, {"mark", 16, 24}, {"front", 24, 45}, {"body", 45, 4080}, {"tag", 4080, 4096}}
	var counts [len(parts)][256]float64
	var ones, runs, n float64
	words := map[[4]byte]int{}
	for i := 1; i < len(seen); i++ {
		for j, slot := range seen[i].touched {
			if seen[i].shows[slot] {
				continue
			}
			b := seen[i].slots[j]
			n++
			words[[4]byte(b[16:])]++
			for k, part := range parts {
				for _, c := range b[part.from:part.to] {
					counts[k][c]++
				}
			}
			for at := 1; at < 512; at++ {
				ones += float64(bits.OnesCount8(b[at]))
				if b[at] == b[at-1] {
					runs++
				}
			}
		}
	}
	for k, part := range parts {
		total, chi := 0.0, 0.0
		for _, c := range counts[k] {
			total += c
		}
		for _, c := range counts[k] {
			chi += (c - total/256) * (c - total/256) / (total / 256)
		}
		f.add("bytes of the "+part.name, chi)
	}
	f.add("bits", ones/n/511)
	f.add("equal neighbours", runs/n/511)
	f.add("marks that come twice", n-float64(len(words)))
}

// files looks at names and sizes, and at what Badger's files say.
func (f *features) files(seen []sighting) {
	sizes := map[string][]float64{}
	total := []float64{}
	for i := range seen {
		sum := 0.0
		for name, size := range seen[i].sizes {
			sum += float64(size)
			if name = filepath.Base(name); isNumbered(name) {
				name = filepath.Ext(name)
			}
			sizes[name] = append(sizes[name], float64(size))
		}
		total = append(total, sum)
	}
	for _, name := range judgeFiles {
		f.add("copies with "+name, float64(len(sizes[name])))
		f.spread("size of "+name, append(sizes[name], 0))
		delete(sizes, name)
	}
	f.add("other files", float64(len(sizes)))
	f.spread("size of all", total)
	f.add("size at the end", total[len(total)-1])
	for k := range seen[0].tables {
		var all []float64
		for i := range seen {
			all = append(all, seen[i].tables[k])
		}
		f.spread(fmt.Sprint("tables ", k), all)
	}
}

// isNumbered reports whether a file has a number for a name.
func isNumbered(name string) bool {
	ext := filepath.Ext(name)
	return ext == ".sst" || ext == ".mem" || ext == ".vlog"
}

var judgeFiles = []string{
	"s", "records", "header", "counter.0", "counter.1", "reserve", "MANIFEST", "KEYREGISTRY", "DISCARD", ".sst", ".mem", ".vlog",
}

// state looks at what the visible level says of itself.
func (f *features) state(seen []sighting) {
	var ticks, pages, used, old, text []float64
	for i := range seen {
		ticks = append(ticks, float64(seen[i].ticks)-float64(i))
		pages = append(pages, float64(seen[i].usage.Pages))
		used = append(used, float64(seen[i].usage.Bytes))
		text = append(text, float64(seen[i].records))
		if seen[i].rolled {
			old = append(old, 1)
		}
	}
	f.spread("ticks", ticks)
	f.spread("pages", pages)
	f.spread("bytes used", used)
	f.spread("records", text)
	f.add("rolled back", float64(len(old)))
}

// clock looks at times: those of files against each other and against the clock
// that calls for ticks, and how long a look takes.
func (f *features) clock(seen []sighting) {
	gaps := map[string][]float64{}
	between := func(name string, from, to time.Time) {
		gaps[name] = append(gaps[name], math.Log(1+math.Abs(float64(to.Sub(from)))))
	}
	for i := range seen {
		s := &seen[i]
		gaps["a look"] = append(gaps["a look"], math.Log(float64(s.looked)))
		last := s.times["counter.0"]
		if s.times["counter.1"].After(last) {
			last = s.times["counter.1"]
		}
		between("counter after the clock", s.began, last)
		for name, at := range s.times {
			if isNumbered(name) {
				name = filepath.Ext(name)
			}
			between("counter after "+name, at, last)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(gaps)) {
		if !strings.Contains(judgeClock, name+"\n") {
			continue
		}
		f.spread("time: "+name, gaps[name])
	}
}

const judgeClock = `a look
counter after the clock
counter after .
counter after header
counter after reserve
counter after records
counter after records/MANIFEST
counter after .mem
counter after .sst
`
