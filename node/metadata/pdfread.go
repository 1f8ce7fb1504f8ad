package metadata

import (
	"math"
	"strings"
)

// maxObjects is the highest number that an object may have.
const maxObjects = 1 << 20

// scanWeight is how much more it costs to read values than to search.
const scanWeight = 8

// A pdfPlace says where an object is: at an offset, or in a stream of objects.
type pdfPlace struct {
	at     int // offset, or the number of the stream
	index  int // in the stream
	packed bool
	free   bool
}

// A pdfFile reads the objects of a file as its last version has them.
type pdfFile struct {
	t       *task
	data    string
	places  map[int]pdfPlace
	trailer pdfDict // of the last version
	stages  int     // how many tables of objects there are: one for each saving

	objects map[int]any
	ends    map[int]int // where the object that begins at an offset ends
	packs   map[int]*pdfPack
	reading map[int]bool

	streamEnds [2]int // a stretch known to hold no end of a stream but at its end
}

// A pdfPack is an unpacked stream of objects.
type pdfPack struct {
	data    string
	numbers []int
	offsets []int
}

// openPDF reads the tables of objects, newest first.
func openPDF(t *task, data string) (*pdfFile, error) {
	f := &pdfFile{
		t: t, data: data, places: map[int]pdfPlace{},
		objects: map[int]any{}, ends: map[int]int{}, packs: map[int]*pdfPack{}, reading: map[int]bool{},
	}
	tail := max(0, len(data)-64<<10)
	i := strings.LastIndex(data[tail:], "startxref")
	if i < 0 {
		return f, errPDF
	}
	l := f.lexer(tail + i + len("startxref"))
	l.skip()
	at, ok := pdfInt(l.word())
	if !ok {
		return f, errPDF
	}
	seen := map[int]bool{}
	queue := []int{at}
	for len(queue) > 0 {
		at, queue = queue[0], queue[1:]
		if seen[at] || len(seen) > 4096 {
			continue
		}
		seen[at] = true
		trailer, err := f.table(at)
		if err != nil {
			return f, err
		}
		if f.trailer == nil {
			f.trailer = trailer
		}
		if f.trailer["Encrypt"] == nil && trailer["Encrypt"] != nil {
			f.trailer["Encrypt"] = trailer["Encrypt"]
		}
		f.stages++
		if previous, ok := number(trailer["Prev"]); ok {
			queue = append(queue, previous)
		}
	}
	return f, nil
}

func (f *pdfFile) lexer(at int) *pdfLexer { return &pdfLexer{t: f.t, data: f.data, at: at} }

func number(v any) (int, bool) {
	n, ok := v.(pdfNumber)
	if !ok {
		return 0, false
	}
	whole, _, _ := strings.Cut(string(n), ".")
	return pdfInt(whole)
}

// table reads one table of objects, of either kind, and returns its trailer.
func (f *pdfFile) table(at int) (pdfDict, error) {
	if at >= len(f.data) {
		return nil, errPDF
	}
	l := f.lexer(at)
	l.skip()
	if !strings.HasPrefix(f.data[l.at:], "xref") {
		return f.streamTable(l.at)
	}
	l.at += len("xref")
	var places []pdfPlace
	var numbers []int
	for {
		l.skip()
		w := l.word()
		if w == "trailer" {
			break
		}
		first, ok := pdfInt(w)
		l.skip()
		n, ok2 := pdfInt(l.word())
		if !ok || !ok2 {
			return nil, errPDF
		}
		for i := range n {
			l.skip()
			offset, ok := pdfInt(l.word())
			l.skip()
			_, ok2 := pdfInt(l.word())
			l.skip()
			state := l.word()
			if !ok || !ok2 || state != "n" && state != "f" || !f.t.value() {
				return nil, errPDF
			}
			numbers, places = append(numbers, first+i), append(places, pdfPlace{at: offset, free: state == "f"})
		}
	}
	v, err := l.value(0)
	trailer, ok := v.(pdfDict)
	if err != nil || !ok {
		return nil, cmpPDF(err)
	}
	// A hybrid file hides some objects from old readers: its table calls them free.
	if hybrid, ok := number(trailer["XRefStm"]); ok {
		if _, err := f.streamTable(hybrid); err != nil {
			return nil, err
		}
	}
	for i, n := range numbers {
		f.place(n, places[i])
	}
	return trailer, nil
}

// place notes where an object is, unless a newer table said so.
func (f *pdfFile) place(n int, p pdfPlace) {
	if _, ok := f.places[n]; !ok && n > 0 && n <= maxObjects {
		f.places[n] = p
	}
}

// streamTable reads a table of objects that is a stream.
func (f *pdfFile) streamTable(at int) (pdfDict, error) {
	_, v, _, err := f.objectAt(at)
	s, ok := v.(pdfStream)
	if err != nil || !ok || s.dict["Type"] != pdfName("XRef") {
		return nil, cmpPDF(err)
	}
	b, err := f.unfilter(s)
	widths, ok := s.dict["W"].(pdfArray)
	if err != nil || !ok || len(widths) != 3 {
		return nil, cmpPDF(err)
	}
	var w [3]int
	for i := range w {
		if w[i], ok = number(widths[i]); !ok || w[i] > 8 {
			return nil, errPDF
		}
	}
	index, ok := s.dict["Index"].(pdfArray)
	if !ok {
		index = pdfArray{pdfNumber("0"), s.dict["Size"]}
	}
	for ; len(index) >= 2; index = index[2:] {
		first, ok := number(index[0])
		n, ok2 := number(index[1])
		if !ok || !ok2 {
			return nil, errPDF
		}
		for i := 0; i < n && len(b) >= w[0]+w[1]+w[2] && f.t.value(); i++ {
			kind, rest := bigEndian(b, w[0], 1)
			a, rest := bigEndian(rest, w[1], 0)
			c, rest := bigEndian(rest, w[2], 0)
			b = rest
			f.place(first+i, pdfPlace{at: a, index: c, packed: kind == 2, free: kind != 1 && kind != 2})
		}
	}
	return s.dict, nil
}

// bigEndian reads a number of n bytes; of none it is what is usual.
func bigEndian(b string, n, usual int) (int, string) {
	if n == 0 {
		return usual, b
	}
	v := 0
	for i := range n {
		v = v<<8 | int(b[i])
	}
	return v & min(1<<47-1, math.MaxInt/2), b[n:] // sums of some stay numbers, with 32 bits, too
}

// get returns what a value stands for, through references.
func (f *pdfFile) get(v any) any {
	for range 8 {
		ref, ok := v.(pdfRef)
		if !ok {
			return v
		}
		v = f.object(int(ref))
	}
	return nil
}

// object reads an object, once. What there is not is null, as the format says;
// what cannot be read is nil, and the file then has no copy.
func (f *pdfFile) object(n int) any {
	if v, ok := f.objects[n]; ok {
		return v
	}
	p, ok := f.places[n]
	if !ok || p.free || !p.packed && p.at == 0 {
		return pdfNull
	}
	if f.reading[n] || len(f.reading) > 16 {
		return nil
	}
	f.reading[n] = true
	defer delete(f.reading, n)
	var v any
	if p.packed {
		v = f.packedObject(n, p)
	} else if found, value, _, err := f.objectAt(p.at); err == nil && found == n {
		v = value
	}
	f.objects[n] = v
	return v
}

// objectAt reads the object that begins at an offset, and says where it ends.
func (f *pdfFile) objectAt(at int) (n int, v any, end int, err error) {
	if at >= len(f.data) || f.t.spent() {
		return 0, nil, at, errPDF
	}
	l := f.lexer(at)
	defer func() { f.ends[at] = end }()
	l.skip()
	n, ok := pdfInt(l.word())
	l.skip()
	_, ok2 := pdfInt(l.word())
	l.skip()
	if !ok || !ok2 || l.word() != "obj" {
		return 0, nil, l.at, errPDF
	}
	v, err = l.value(0)
	if !f.t.scan(scanWeight * (l.at - at)) {
		err = errSpent
	}
	if err != nil {
		return 0, nil, l.at, err
	}
	dict, ok := v.(pdfDict)
	l.skip()
	if !ok || !strings.HasPrefix(f.data[l.at:], "stream") {
		return n, v, l.at, nil
	}
	start := l.at + len("stream")
	if strings.HasPrefix(f.data[start:], "\r\n") {
		start += 2
	} else if start < len(f.data) && (f.data[start] == '\n' || f.data[start] == '\r') {
		start++
	}
	end, err = f.streamEnd(dict, start)
	if err != nil {
		return 0, nil, start, err
	}
	return n, pdfStream{dict: dict, raw: f.data[start:end]}, end, nil
}

// streamEnd finds where a stream ends: where its length says, if there is an end,
// or at the next end.
func (f *pdfFile) streamEnd(dict pdfDict, start int) (int, error) {
	if n, ok := number(f.get(dict["Length"])); ok && n <= len(f.data)-start {
		l := f.lexer(start + n)
		for l.at < len(f.data) && isPDFSpace(f.data[l.at]) {
			l.at++
		}
		if strings.HasPrefix(f.data[l.at:], "endstream") {
			return start + n, nil
		}
	}
	// Many broken streams may share one end that is far away: it is not looked for
	// again.
	if known := f.streamEnds; start < known[0] || start > known[1] {
		i := strings.Index(f.data[start:], "endstream")
		if i < 0 {
			i = len(f.data) - start
		}
		if !f.t.scan(i) {
			return 0, errSpent
		}
		f.streamEnds = [2]int{start, start + i}
	}
	end := f.streamEnds[1]
	if end == len(f.data) {
		return 0, errPDF
	}
	if end > start && f.data[end-1] == '\n' {
		end--
	}
	if end > start && f.data[end-1] == '\r' {
		end--
	}
	return end, nil
}

// packedObject reads an object from a stream of objects.
func (f *pdfFile) packedObject(n int, p pdfPlace) any {
	pack, ok := f.packs[p.at]
	if !ok {
		if place := f.places[p.at]; !place.packed { // a pack does not lie in a pack
			pack = f.pack(f.object(p.at))
		}
		f.packs[p.at] = pack
	}
	if pack == nil {
		return nil
	}
	i := p.index
	if i >= len(pack.numbers) || pack.numbers[i] != n {
		return nil
	}
	return pack.read(f.t, i)
}

// pack unpacks a stream of objects; nil if it is none.
func (f *pdfFile) pack(v any) *pdfPack {
	s, ok := v.(pdfStream)
	if !ok || s.dict["Type"] != pdfName("ObjStm") {
		return nil
	}
	data, err := f.unfilter(s)
	n, ok := number(f.get(s.dict["N"]))
	first, ok2 := number(f.get(s.dict["First"]))
	if err != nil || !ok || !ok2 || n > maxObjects || first > len(data) {
		return nil
	}
	pack := &pdfPack{data: data}
	l := &pdfLexer{t: f.t, data: data[:first]}
	for range n {
		l.skip()
		number, ok := pdfInt(l.word())
		l.skip()
		offset, ok2 := pdfInt(l.word())
		if !ok || !ok2 || !f.t.value() || first+offset > len(data) {
			return nil
		}
		pack.numbers = append(pack.numbers, number)
		pack.offsets = append(pack.offsets, first+offset)
	}
	return pack
}

func (p *pdfPack) read(t *task, i int) any {
	l := &pdfLexer{t: t, data: p.data, at: p.offsets[i]}
	v, err := l.value(0)
	if !t.scan(scanWeight*(l.at-p.offsets[i])) || err != nil {
		return nil
	}
	return v
}
