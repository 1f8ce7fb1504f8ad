package metadata

import (
	"slices"
	"strconv"
	"strings"
)

// scrub returns a value without what tells of its author, and reports that. The
// value itself is not changed: others may hold it.
func (c *pdfCopy) scrub(v any, where string) any {
	switch v := v.(type) {
	case pdfArray:
		out := make(pdfArray, len(v))
		for i := range v {
			out[i] = c.scrub(v[i], where)
		}
		return out
	case pdfDict:
		if c.signature(v, where) {
			return pdfNull
		}
		return c.dict(v, where)
	case pdfStream:
		return c.stream(v, where)
	}
	return v
}

// dict copies a dictionary without the keys that are dropped.
func (c *pdfCopy) dict(d pdfDict, where string) pdfDict {
	out := make(pdfDict, len(d))
	annotation := isAnnotation(d)
	for _, key := range d.keys() {
		v := c.f.get(d[key])
		switch {
		case annotation && c.ofAnnotation(d, key, v, where):
		case c.drops(d, key, v, where):
		default:
			out[key] = c.scrub(c.filePath(key, d[key], v, where), where)
		}
	}
	return out
}

// isAnnotation reports whether a dictionary is a note, a link or a field on a
// page.
func isAnnotation(d pdfDict) bool {
	_, named := d["Subtype"].(pdfName)
	return named && d["Rect"] != nil && (d["Type"] == nil || d["Type"] == pdfName("Annot"))
}

// ofAnnotation reports whether a key of an annotation goes: who wrote it, when,
// and its number. T is the name of a field on a widget, and of a person on any
// other.
func (c *pdfCopy) ofAnnotation(d pdfDict, key pdfName, v any, where string) bool {
	s, isString := v.(pdfString)
	if !isString {
		return false
	}
	where = within(where, "annotation")
	switch {
	case key == "T" && d["Subtype"] != pdfName("Widget"):
		c.t.found(Author, s.text(), where)
	case key == "M":
		c.t.found(Time, s.text(), where)
	case key == "NM":
		c.t.found(Identifier, s.text(), where)
	default:
		return false
	}
	return true
}

// ofCatalog lists what the root of a document goes without.
var ofCatalog = map[pdfName]Kind{
	"SpiderInfo": Path, "Legal": Signature, "DSS": Signature, "Perms": Signature, "Collection": Attachment,
}

// drops reports whether a key goes, whatever dictionary it is in. A dictionary may
// also use keys as names of its own; so each rule looks at the value.
func (c *pdfCopy) drops(d pdfDict, key pdfName, v any, where string) bool {
	_, isString := v.(pdfString)
	_, isDict := v.(pdfDict)
	stream, isStream := v.(pdfStream)
	if kind, ok := infoKinds[key]; ok && isString && kind != Title {
		c.t.found(kind, v.(pdfString).text(), where)
		return true
	}
	if kind, ok := ofCatalog[key]; ok && d["Type"] == pdfName("Catalog") {
		c.t.found(kind, string(key), where)
		return true
	}
	switch key {
	case "Metadata":
		if !isStream || stream.dict["Subtype"] == pdfName("Image") || stream.dict["Subtype"] == pdfName("Form") {
			return false
		}
		c.metadata(stream, where)
	case "PieceInfo":
		if !isDict || v.(pdfDict)["Type"] != nil {
			return false
		}
		c.t.found(Hidden, "private data of a program", where)
	case "Thumb":
		if d["Type"] != pdfName("Page") {
			return false
		}
		c.t.found(Thumbnail, size(len(stream.raw)), where)
	case "CreatorInfo":
		c.t.found(Software, "", where)
	case "EF":
		c.t.found(Attachment, c.fileName(d), where)
	case "EmbeddedFiles":
		if !isDict {
			return false
		}
		c.attachments(v, where, 0)
	case "AF":
		if resource, ok := v.(pdfDict); ok && resource["Type"] != pdfName("Filespec") {
			return false
		}
		c.t.found(Attachment, "", where)
	case "ID":
		if d["Type"] != pdfName("Page") {
			return false
		}
		c.t.found(Identifier, "", where)
	case "XFA":
		if isString || v == pdfNull || v == nil {
			return false
		}
		c.fail(whyXFA)
	case "SigFlags":
	default:
		return false
	}
	return true
}

// metadata reports a stream of XMP.
func (c *pdfCopy) metadata(s pdfStream, where string) {
	packet, err := c.f.unfilter(s)
	if err != nil {
		c.t.found(Hidden, size(len(s.raw)), within(where, "XMP"))
		return
	}
	c.t.xmp([]byte(packet), within(where, "XMP"))
}

// fileName returns the name in the description of a file.
func (c *pdfCopy) fileName(d pdfDict) string {
	for _, key := range []pdfName{"UF", "F", "Unix", "DOS"} {
		if s, ok := c.f.get(d[key]).(pdfString); ok {
			return s.text()
		}
	}
	return ""
}

// attachments names the files of a tree of them.
func (c *pdfCopy) attachments(v any, where string, depth int) {
	node, _ := c.f.get(v).(pdfDict)
	names, _ := c.f.get(node["Names"]).(pdfArray)
	for i := 1; i < len(names) && c.t.value(); i += 2 {
		if file, ok := c.f.get(names[i]).(pdfDict); ok {
			c.t.found(Attachment, c.fileName(file), where)
		}
	}
	kids, _ := c.f.get(node["Kids"]).(pdfArray)
	for _, kid := range kids {
		if depth < 4 && c.t.value() {
			c.attachments(kid, where, depth+1)
		}
	}
}

// signature reports whether a dictionary is a signature, which a changed file
// would break and which names whoever signed.
func (c *pdfCopy) signature(d pdfDict, where string) bool {
	kind := d["Type"]
	if kind != pdfName("Sig") && kind != pdfName("DocTimeStamp") && (d["ByteRange"] == nil || d["Contents"] == nil) {
		return false
	}
	name, _ := c.f.get(d["Name"]).(pdfString)
	c.t.found(Signature, name.text(), where)
	return true
}

// filePath takes the folders of a machine out of the names of files.
func (c *pdfCopy) filePath(key pdfName, v, resolved any, where string) any {
	s, ok := resolved.(pdfString)
	if !ok || key != "F" && key != "UF" && key != "URI" && key != "DOS" && key != "Unix" {
		return v
	}
	if text := s.text(); isLocalPath(text) {
		return pdfString(c.t.withoutPath(text, where))
	}
	return v
}

// stream copies a stream: pictures and colour profiles cleaned, what is no part of
// the pages left out, the rest packed as it is.
func (c *pdfCopy) stream(s pdfStream, where string) any {
	switch s.dict["Type"] {
	case pdfName("Metadata"):
		c.metadata(s, where)
		return pdfNull
	case pdfName("EmbeddedFile"):
		c.t.found(Attachment, size(len(s.raw)), where)
		return pdfNull
	}
	out := pdfStream{dict: c.dict(s.dict, where), raw: s.raw}
	names, params := c.f.filters(s.dict)
	last := len(names) - 1
	switch {
	case last >= 0 && slices.Contains([]pdfName{"DCTDecode", "DCT", "JPXDecode"}, names[last]):
		c.picture(&out, s, names, params, where)
	case s.dict["Type"] == nil && s.dict["Subtype"] == nil && s.dict["N"] != nil:
		c.profile(&out, s, where)
	}
	return out
}

// picture cleans a stream that is a JPEG or a JPEG 2000.
func (c *pdfCopy) picture(out *pdfStream, s pdfStream, names []pdfName, params []pdfDict, where string) {
	data, left, err := c.f.unfilterTo(s, names, params)
	if err != nil || len(left) != 1 {
		c.fail(whyInside)
		return
	}
	data = strings.TrimRight(data, "\r\n") // of the stream, not of the picture
	where = within(where, "picture")
	var cleaned []byte
	if left[0] == "JPXDecode" {
		cleaned = c.t.jpeg2000([]byte(data), where)
	} else if strings.HasPrefix(data, "\xFF\xD8") {
		cleaned = c.t.jpeg([]byte(data), where).cleaned
	}
	switch string(cleaned) {
	case "":
		c.fail(whyInside)
	case data: // as it is
	default:
		out.raw = string(cleaned)
		out.dict["Filter"] = left[0]
		delete(out.dict, "DecodeParms")
		if p := params[len(params)-1]; p != nil {
			out.dict["DecodeParms"] = c.scrub(p, where)
		}
	}
}

// profile cleans a stream that is a colour profile; others have a number N too.
func (c *pdfCopy) profile(out *pdfStream, s pdfStream, where string) {
	data, err := c.f.unfilter(s)
	if err != nil || len(data) < iccHead || data[36:40] != "acsp" {
		return
	}
	cleaned := c.t.icc([]byte(data), where)
	if cleaned == nil || string(cleaned) == data {
		return
	}
	out.raw = string(zlibbed(cleaned))
	out.dict["Filter"] = pdfName("FlateDecode")
	out.dict["Length"] = pdfNumber(strconv.Itoa(len(out.raw)))
	delete(out.dict, "DecodeParms")
}
