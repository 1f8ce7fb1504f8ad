package metadata

import (
	"fmt"
	"strconv"
	"strings"
)

const whyXFA = "it is a form of an older kind (XFA), which is a document of its own inside; print it to a new PDF"

// pdf inspects and cleans a PDF. The copy is written anew from the objects that
// can be reached from the document's root in its last version.
func (t *task) pdf(data []byte, where string) outcome {
	start := pdfStart(data)
	if start > 0 {
		t.found(Hidden, size(start), within(where, "before the beginning of the document"))
	}
	text := string(data[start:])
	f, err := openPDF(t, text)
	if err != nil {
		(&pdfCopy{f: f, t: t, where: where}).others(within(where, "damaged"))
		return cannot(PDF, damagedOr(t, err))
	}
	if f.trailer["Encrypt"] != nil {
		return cannot(PDF, whyCrypt)
	}
	c := &pdfCopy{f: f, t: t, where: where, numbers: map[pdfRef]int{}}
	c.frame()
	root, ok := f.trailer["Root"].(pdfRef)
	if catalog, isDict := f.get(root).(pdfDict); !ok || !isDict || f.get(catalog["Pages"]) == nil {
		c.others(within(where, "damaged"))
		return cannot(PDF, whyDamaged)
	}
	version := "1.7"
	if strings.HasPrefix(text, "%PDF-2") {
		version = "2.0"
	}
	cleaned := c.write(root, version)
	c.versions()
	if c.why != "" {
		return cannot(PDF, c.why)
	}
	return outcome{format: PDF, cleaned: cleaned}
}

// A pdfCopy is a PDF being copied.
type pdfCopy struct {
	f     *pdfFile
	t     *task
	where string

	numbers map[pdfRef]int // the new number of an object that the copy has
	order   []pdfRef
	why     string // the first reason against a copy
}

func (c *pdfCopy) fail(why string) {
	if c.why == "" {
		c.why = why
	}
}

// number gives an object its number in the copy, or 0 for one that is not there.
func (c *pdfCopy) number(ref pdfRef) int {
	if n, ok := c.numbers[ref]; ok {
		return n
	}
	if c.f.object(int(ref)) == pdfNull {
		return 0
	}
	c.order = append(c.order, ref)
	c.numbers[ref] = len(c.order)
	return len(c.order)
}

// write writes the objects as they are reached, and a table of them at the end.
func (c *pdfCopy) write(root pdfRef, version string) []byte {
	out := []byte("%PDF-" + version + "\n%\xE2\xE3\xCF\xD3\n")
	most := 2*len(c.f.data) + 32<<20 // parts may lie over one another
	var offsets []int
	c.number(root)
	for i := 0; len(offsets) < len(c.order); i++ { // it grows
		v := c.f.object(int(c.order[i]))
		if v == nil {
			c.fail(whyDamaged)
		}
		if len(out) > most || c.t.spent() {
			c.fail(whySpent)
			return nil
		}
		offsets = append(offsets, len(out))
		out = fmt.Appendf(out, "%d 0 obj\n", i+1)
		out = c.object(out, c.scrub(v, c.where))
		out = append(out, "\nendobj\n"...)
	}
	table := len(out)
	out = fmt.Appendf(out, "xref\n0 %d\n0000000000 65535 f \n", len(offsets)+1)
	for _, at := range offsets {
		out = fmt.Appendf(out, "%010d 00000 n \n", at)
	}
	return fmt.Appendf(out, "trailer\n<</Root 1 0 R\n/Size %d\n>>\nstartxref\n%d\n%%%%EOF\n", len(offsets)+1, table)
}

func (c *pdfCopy) object(out []byte, v any) []byte {
	s, ok := v.(pdfStream)
	if !ok {
		return appendPDF(out, v, c.number)
	}
	s.dict["Length"] = pdfNumber(strconv.Itoa(len(s.raw)))
	out = append(appendPDF(out, s.dict, c.number), "\nstream\n"...)
	return append(append(out, s.raw...), "\nendstream"...)
}

// infoKinds says what a field of the information dictionary tells; others are
// reported as hidden.
var infoKinds = map[pdfName]Kind{
	"Author": Author, "Creator": Software, "Producer": Software, "Company": Company, "Title": Title, "Subject": Title,
	"Keywords": Title, "CreationDate": Time, "ModDate": Time, "SourceModified": Time, "LastModified": Time,
}

// frame reports what the trailer leads to besides the document.
func (c *pdfCopy) frame() {
	c.info(c.f.get(c.f.trailer["Info"]), within(c.where, "document information"))
	if id, ok := c.f.get(c.f.trailer["ID"]).(pdfArray); ok && len(id) > 0 {
		first, _ := c.f.get(id[0]).(pdfString)
		c.t.found(Identifier, fmt.Sprintf("%x", string(first[:min(len(first), 32)])), c.where)
	}
	if end := strings.LastIndex(c.f.data, "%%EOF"); end >= 0 {
		if rest := strings.Trim(c.f.data[end+len("%%EOF"):], pdfSpace); rest != "" {
			c.t.found(Hidden, size(len(rest)), within(c.where, "after the end of the document"))
		}
	}
}

// info reports an information dictionary.
func (c *pdfCopy) info(v any, where string) {
	d, _ := v.(pdfDict)
	for _, key := range d.keys() {
		s, ok := c.f.get(d[key]).(pdfString)
		if !ok || s == "" {
			continue
		}
		if kind, ok := infoKinds[key]; ok {
			c.t.found(kind, s.text(), where)
		} else {
			c.t.found(Hidden, string(key)+": "+s.text(), where)
		}
	}
}

// versions reports what is in the file and not in the copy: objects of earlier
// versions and objects that nothing leads to.
func (c *pdfCopy) versions() {
	stages := c.f.stages
	if c.linearized() {
		stages-- // one more table, for the first page
	}
	if stages > 1 {
		c.t.found(History, fmt.Sprintf("saved %d times; earlier versions are still inside", stages), c.where)
	}
	if n := c.others(within(c.where, "an older version or an unused part")); n > 0 {
		c.t.found(Hidden, fmt.Sprintf("%d objects that nothing shows", n), c.where)
	}
}

// linearized reports whether the file is arranged to be shown while it is loaded.
func (c *pdfCopy) linearized() bool {
	head := c.f.data[:min(len(c.f.data), 2048)]
	return strings.Contains(head, "/Linearized")
}

// others walks over every object in the file, and reports what those tell that
// are not copied. It returns how many there are.
func (c *pdfCopy) others(where string) (n int) {
	f := c.f
	live := c.live()
	for at := 0; at < len(f.data) && !c.t.spent(); {
		start, end := nextObject(f.data, at)
		if start < 0 {
			return n
		}
		if live[start] {
			at = max(f.ends[start], end)
			continue
		}
		num, v, stop, err := f.objectAt(start)
		if at = max(stop, end); err != nil {
			continue
		}
		s, isStream := v.(pdfStream)
		switch {
		case isStream && s.dict["Type"] == pdfName("XRef"), c.linearized() && hint(v):
		case isStream && s.dict["Type"] == pdfName("ObjStm"):
			place := f.places[num]
			n += c.packed(num, s, !place.packed && !place.free && place.at == start, where)
		default:
			n++
			c.other(v, where)
		}
	}
	return n
}

// live lists the offsets of the objects that were copied or reported already.
func (c *pdfCopy) live() map[int]bool {
	live := map[int]bool{}
	note := func(n int) {
		if p, ok := c.f.places[n]; ok && !p.packed && !p.free {
			live[p.at] = true
		}
	}
	for _, ref := range c.order {
		note(int(ref))
	}
	if info, ok := c.f.trailer["Info"].(pdfRef); ok {
		note(int(info))
	}
	return live
}

// other reports one object that is not copied.
func (c *pdfCopy) other(v any, where string) {
	report := &pdfCopy{f: c.f, t: c.t, where: where}
	if d, ok := v.(pdfDict); ok && d["Type"] == nil && (d["Producer"] != nil || d["Author"] != nil || d["Creator"] != nil) {
		report.info(d, where)
		return
	}
	report.scrub(v, where)
}

// packed does for the objects in a stream what others does for those outside.
func (c *pdfCopy) packed(num int, s pdfStream, current bool, where string) (n int) {
	pack := c.f.pack(s)
	if pack == nil {
		return 1
	}
	info, _ := c.f.trailer["Info"].(pdfRef)
	for i, inside := range pack.numbers {
		place := c.f.places[inside]
		live := current && place.packed && place.at == num && place.index == i
		if live && (c.numbers[pdfRef(inside)] != 0 || inside == int(info)) {
			continue
		}
		n++
		if v := pack.read(c.t, i); v != nil {
			c.other(v, where)
		}
	}
	return n
}

// hint reports whether an object is one of those that only serve to show a file
// while it is loaded.
func hint(v any) bool {
	if s, ok := v.(pdfStream); ok {
		_, ok := number(s.dict["S"])
		return ok && s.dict["Type"] == nil && s.dict["Subtype"] == nil
	}
	d, ok := v.(pdfDict)
	return ok && d["Linearized"] != nil
}

// nextObject finds the next "12 0 obj" at or after an offset: where it begins and
// where the word ends. It is -1 if there is none.
func nextObject(data string, from int) (start, end int) {
	for {
		i := strings.Index(data[from:], "obj")
		if i < 0 {
			return -1, -1
		}
		end = from + i + len("obj")
		if at := backNumber(data, backNumber(data, from+i)); at >= 0 {
			return at, end
		}
		from = end
	}
}

// backNumber returns where the number begins that ends before an offset, after
// spaces. It is -1 if there is none.
func backNumber(data string, at int) int {
	if at < 0 {
		return -1
	}
	space := at
	for at > 0 && space-at < 8 && isPDFSpace(data[at-1]) {
		at--
	}
	end := at
	for at > 0 && end-at < 12 && data[at-1] >= '0' && data[at-1] <= '9' {
		at--
	}
	if at == end {
		return -1
	}
	return at
}
