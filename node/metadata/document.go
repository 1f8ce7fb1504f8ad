package metadata

import (
	"bytes"
	"path"
	"slices"
	"strings"
)

// A document is an office document being copied: an archive of parts, most of
// them XML.
type document struct {
	t      *task
	format Format
	where  string
	depth  int

	gone map[string]bool // parts left out, which nothing may point to
	why  string          // the first reason against a copy
}

// The neutral values that take the place of what must not be missing.
const (
	neutralName     = "Author"
	neutralInitials = "A"
	neutralTime     = "2000-01-01T00:00:00Z"
)

// document inspects and cleans a document of an office program.
func (t *task) document(format Format, a *zipArchive, where string, depth int) outcome {
	d := &document{t: t, format: format, where: where, depth: depth, gone: map[string]bool{}}
	t.archiveFrame(a, where)
	entries := slices.Clone(a.entries)
	slices.SortStableFunc(entries, func(x, y zipEntry) int { return rank(x.name) - rank(y.name) })
	twice := map[string]bool{}
	for i := range entries {
		name := entries[i].name
		if twice[name] {
			return cannot(format, whyDamaged)
		}
		twice[name] = true
		if _, drop := d.unneeded(name); drop {
			d.gone[name] = true
		}
	}
	w := &zipWriter{}
	for i := range entries {
		e := &entries[i]
		if e.folder() && e.size == 0 {
			continue
		}
		content, err := e.content(t)
		if err != nil || t.spent() {
			return cannot(format, damagedOr(t, err))
		}
		if kind, drop := d.unneeded(e.name); drop {
			t.found(kind, partText(kind, content), within(where, e.name))
			continue
		}
		if content = d.part(e.name, content); content != nil {
			w.add(e.name, e.utf8, e.method, content)
		}
	}
	if d.why != "" {
		return cannot(format, d.why)
	}
	if cleaned := w.finish(); cleaned != nil {
		return outcome{format: format, cleaned: cleaned}
	}
	return cannot(format, whySpent)
}

// rank puts the part first that OpenDocument wants first.
func rank(name string) int {
	if name == "mimetype" {
		return 0
	}
	return 1
}

// unneeded reports whether a part is left out, and what it is.
func (d *document) unneeded(name string) (Kind, bool) {
	low := strings.ToLower(strings.TrimPrefix(name, "/"))
	is := func(prefixes ...string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(low, p) })
	}
	if d.format == OpenDocument {
		switch {
		case is("thumbnails/"), is("objectreplacements/"):
			return Thumbnail, true
		case is("meta-inf/documentsignatures", "meta-inf/macrosignatures", "meta-inf/packagesignatures"):
			return Signature, true
		case is("versions/", "versionlist.xml"):
			return History, true
		case is("layout-cache", "configurations2/"):
			return Hidden, true
		}
		return 0, false
	}
	switch {
	case is("docprops/thumbnail"):
		return Thumbnail, true
	case strings.Contains(low, "printersettings/"):
		return Printer, true
	case is("_xmlsignatures/"):
		return Signature, true
	case is("customxml/", "docmetadata/", "[trash]/"):
		return Hidden, true
	}
	return 0, false
}

// partText is what a report shows of a part that is left out.
func partText(k Kind, content []byte) string {
	if k == Printer { // Windows puts the printer's name first
		name, _, _ := strings.Cut(utf16Text(content[:min(64, len(content))], littleEndian), "\x00")
		return name
	}
	return size(len(content))
}

// fail notes the first reason against a copy; what can be reported still is.
func (d *document) fail(why string) []byte {
	if d.why == "" {
		d.why = why
	}
	return nil
}

// part cleans one part; it is nil after a failure.
func (d *document) part(name string, content []byte) []byte {
	where := within(d.where, name)
	if name == "mimetype" && d.format == OpenDocument {
		return content
	}
	if looksLikeXML(content) {
		return d.xml(name, content, where)
	}
	if low := strings.ToLower(name); strings.Contains(low, "/fonts/") || strings.HasPrefix(low, "fonts/") {
		return content // a typeface names its designer
	}
	out := d.t.file(content, where, d.depth+1)
	if out.cleaned == nil || out.format == Text && len(content) > 0 && path.Ext(name) == ".xml" {
		d.t.kept(Uncleanable, name, within(d.where, out.format.String()))
		return d.fail(whyInside)
	}
	return out.cleaned
}

func looksLikeXML(b []byte) bool {
	b = bytes.TrimPrefix(b, []byte("\uFEFF"))
	return bytes.HasPrefix(bytes.TrimLeft(b, markupSpace), []byte("<"))
}

// xml cleans one part that is XML.
func (d *document) xml(name string, content []byte, where string) []byte {
	root, err := d.root(content)
	if err != nil {
		return d.fail(damagedOr(d.t, err))
	}
	if replacement, ok := properties(&root); ok {
		d.properties(content, where)
		return []byte(replacement)
	}
	var rules markupRules
	switch {
	case root.name == "svg":
		if bytes.Contains(content, []byte("data:")) {
			d.t.kept(Uncleanable, name, d.where)
			return d.fail(whyInside)
		}
		rules = d.svgRules(where)
	case d.format == OpenDocument:
		rules = d.openRules(where)
	default:
		rules = d.officeRules(name, where)
	}
	cleaned, err := d.t.rewrite(content, where, rules)
	if err != nil {
		return d.fail(damagedOr(d.t, err))
	}
	return cleaned
}

// root returns the first element.
func (d *document) root(content []byte) (markupToken, error) {
	r, err := newMarkup(d.t, content)
	if err != nil {
		return markupToken{}, err
	}
	for {
		k, ok, err := r.next()
		if err != nil {
			return k, err
		}
		if !ok {
			return k, errMarkup
		}
		if k.kind == markupStart {
			return k, nil
		}
	}
}

// propertySpaces lists the namespaces of parts that hold nothing but properties.
var propertySpaces = []string{
	"http://schemas.openxmlformats.org/package/2006/metadata/core-properties",
	"http://schemas.openxmlformats.org/officeDocument/2006/extended-properties",
	"http://schemas.openxmlformats.org/officeDocument/2006/custom-properties",
	"http://purl.oclc.org/ooxml/officeDocument/extendedProperties",
	"http://purl.oclc.org/ooxml/officeDocument/customProperties",
}

const metaSpace = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"

// properties returns what takes the place of a part that holds nothing but
// properties, and false for another part.
func properties(root *markupToken) (string, bool) {
	const head = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n"
	if root.name == "document-meta" {
		version := "1.2"
		for _, a := range root.attrs {
			if a.name == "version" && slices.Contains([]string{"1.0", "1.1", "1.2", "1.3", "1.4"}, a.value) {
				version = a.value
			}
		}
		return head + `<office:document-meta xmlns:office="` + metaSpace + `" office:version="` + version + `"><office:meta/></office:document-meta>`, true
	}
	if root.name != "coreProperties" && root.name != "Properties" {
		return "", false
	}
	for _, a := range root.attrs {
		if strings.HasPrefix(a.full, "xmlns") && slices.Contains(propertySpaces, a.value) {
			return head + "<" + root.name + ` xmlns="` + a.value + `"/>`, true
		}
	}
	return "", false
}

// propertyKinds says what a property tells, by its name without a prefix. Counts
// of pages and words are not listed.
var propertyKinds = map[string]Kind{
	"creator": Author, "initial-creator": Author, "Manager": Author, "printed-by": Author,
	"lastModifiedBy": LastAuthor, "Company": Company, "Application": Software, "AppVersion": Software, "generator": Software,
	"created": Time, "modified": Time, "lastPrinted": Time, "creation-date": Time, "date": Time, "print-date": Time,
	"Template": Path, "HyperlinkBase": Path, "revision": History, "TotalTime": History, "editing-cycles": History, "editing-duration": History,
	"title": Title, "subject": Title, "description": Title, "keywords": Title, "keyword": Title, "category": Title, "contentStatus": Title,
	"identifier": Identifier, "user-defined": Identifier, "property": Identifier,
}

// properties reports a part of properties.
func (d *document) properties(content []byte, where string) {
	_, _ = d.t.rewrite(content, where, markupRules{
		drop: func(k *markupToken) (Kind, bool) {
			kind, ok := propertyKinds[k.name]
			if k.name == "template" { // of OpenDocument: a path in an attribute
				kind, ok = Path, true
			}
			for _, a := range k.attrs {
				if ok && (a.name == "href" || a.name == "name" && kind == Identifier) {
					d.t.found(kind, a.text(), where)
				}
			}
			if k.empty {
				kind = 0
			}
			return kind, ok
		},
		attr: func(_ *markupToken, a markupAttr) (string, bool) { return a.text(), true },
		text: func(_, text string) string { return text },
	}) // what cannot be read any further was reported as far as it could
}
