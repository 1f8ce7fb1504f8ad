package metadata

import (
	"encoding/binary"
	"path"
	"strings"
)

var littleEndian = binary.LittleEndian

// officeAttrs says what an attribute of Office XML tells, and what takes its
// place; "" drops it.
var officeAttrs = map[string]struct {
	kind    Kind
	neutral string
}{
	"author": {Author, neutralName}, "userName": {Author, neutralName}, "initials": {Author, neutralInitials},
	"refreshedBy": {Author, neutralName}, "lastModifiedBy": {LastAuthor, neutralName},
	"date": {Time, ""}, "dateUtc": {Time, ""}, "dT": {Time, ""}, "dt": {Time, ""}, "refreshedDate": {Time, ""}, "refreshedDateIso": {Time, ""},
	"dateTime": {Time, neutralTime}, "created": {Time, neutralTime},
}

// officePeople says what an attribute tells on an element that is a person.
var officePeople = map[string]struct {
	kind    Kind
	neutral string
}{
	"name": {Author, neutralName}, "displayName": {Author, neutralName}, "userId": {Account, neutralName}, "providerId": {Account, "None"},
}

// officeDrops says which elements go.
var officeDrops = map[string]Kind{
	"rsids": Identifier, "docId": Identifier, "docVars": Hidden, "attachedTemplate": Path, "absPath": Path,
	"presenceInfo": Account, "revisionPtr": Identifier,
}

// officeRules are for docx, xlsx and pptx.
func (d *document) officeRules(part, where string) markupRules {
	return markupRules{
		drop: func(k *markupToken) (Kind, bool) { return d.officeDrop(part, where, k) },
		attr: func(k *markupToken, a markupAttr) (string, bool) { return d.officeAttr(where, k, a) },
		text: func(name, text string) string {
			switch local(name) {
			case "author":
				return d.neutral(Author, text, neutralName, where)
			case "instrText", "delInstrText", "fldSimple":
				return d.fieldPaths(text, where)
			}
			return text
		},
	}
}

func (d *document) officeDrop(part, where string, k *markupToken) (Kind, bool) {
	switch k.name {
	case "Override": // of the list of types
		return 0, d.gone[strings.TrimPrefix(k.value("PartName"), "/")]
	case "Relationship":
		return d.relationship(part, where, k)
	case "del", "moveFrom":
		if strings.HasPrefix(k.full, "w:") {
			d.t.kept(History, "tracked changes: what was deleted is still inside", where)
		}
	case "person":
		if author := k.value("author"); author != "" {
			d.t.found(Author, author, where)
			return 0, true
		}
	}
	kind, drop := officeDrops[k.name]
	if drop {
		d.t.found(kind, k.value("url")+k.value("userId"), where)
	}
	return 0, drop
}

// relationship drops what leads to a part that is gone or to a template on
// somebody's disk.
func (d *document) relationship(part, where string, k *markupToken) (Kind, bool) {
	target := k.value("Target")
	if path.Base(k.value("Type")) == "attachedTemplate" {
		d.t.found(Path, target, where)
		return 0, true
	}
	if k.value("TargetMode") == "External" {
		return 0, false
	}
	if rest, absolute := strings.CutPrefix(target, "/"); absolute {
		return 0, d.gone[rest]
	}
	folder := path.Dir(path.Dir(part)) // word/_rels/document.xml.rels speaks from word
	return 0, d.gone[path.Join(folder, target)]
}

func (d *document) officeAttr(where string, k *markupToken, a markupAttr) (string, bool) {
	text := a.text()
	switch rule, ok := officeAttrs[a.name]; {
	case strings.HasPrefix(a.full, "xmlns"):
		return text, true
	case ok && rule.neutral != "":
		return d.neutral(rule.kind, text, rule.neutral, where), true
	case ok && a.name == "date" && a.full == "date", ok && k.name == "sheetPr":
		return text, true
	case ok:
		d.t.found(rule.kind, text, where)
		return "", false
	}
	if rule, ok := officePeople[a.name]; ok && officePerson(k) {
		return d.neutral(rule.kind, text, rule.neutral, where), true
	}
	switch {
	case strings.HasPrefix(a.name, "rsid"):
		d.t.found(Identifier, "numbers of editing sessions", where)
		return "", false
	case k.name == "pageSetup" && a.name == "id" && a.full != "id": // of a printer that is gone
		return "", false
	case k.name == "fldSimple" && a.name == "instr":
		return d.fieldPaths(text, where), true
	case k.name == "Relationship" && (a.name != "Target" || k.value("TargetMode") != "External"):
		return text, true
	}
	return d.t.withoutPath(text, where), true
}

// officePerson reports whether an element is about a person who wrote something.
func officePerson(k *markupToken) bool {
	switch k.name {
	case "cmAuthor", "author", "person", "userInfo", "customWorkbookView":
		return true
	}
	return false
}

// neutral reports a value and returns what takes its place.
func (d *document) neutral(k Kind, value, neutral, where string) string {
	if value != neutral && strings.TrimSpace(value) != "" {
		d.t.found(k, value, where)
		return neutral
	}
	return value
}

// fieldPaths takes the paths out of a field's instruction, which are quoted in it.
func (d *document) fieldPaths(text, where string) string {
	words := strings.Split(text, `"`)
	for i := range words {
		words[i] = d.t.withoutPath(words[i], where)
	}
	return strings.Join(words, `"`)
}

// value returns an attribute by its name without a prefix.
func (k *markupToken) value(name string) string {
	for _, a := range k.attrs {
		if a.name == name {
			return a.text()
		}
	}
	return ""
}

// settingKinds says which settings of OpenDocument go.
var settingKinds = map[string]Kind{
	"PrinterName": Printer, "PrinterSetup": Printer, "PrinterPaperFromSetup": 0, "Rsid": Identifier, "RsidRoot": Identifier,
	"CurrentDatabaseDataSource": Path, "TrackedChangesAuthor": Author,
}

// openRules are for odt, ods and odp.
func (d *document) openRules(where string) markupRules {
	return markupRules{
		drop: func(k *markupToken) (Kind, bool) {
			switch k.name {
			case "config-item":
				kind, drop := settingKinds[k.value("name")]
				return kind, drop
			case "encryption-data":
				d.fail(whyCrypt)
			case "file-entry":
				return 0, d.gone[k.value("full-path")] || d.emptyFolder(k.value("full-path"))
			case "deletion":
				d.t.kept(History, "tracked changes: what was deleted is still inside", where)
			}
			return 0, false
		},
		attr: func(k *markupToken, a markupAttr) (string, bool) {
			switch {
			case strings.HasPrefix(a.full, "xmlns"):
				return a.text(), true
			case a.name == "rsid" || a.name == "paragraph-rsid":
				d.t.found(Identifier, "numbers of editing sessions", where)
				return "", false
			case k.name == "file-entry":
				return a.text(), true
			}
			return d.t.withoutPath(a.text(), where), true
		},
		text: func(name, text string) string {
			switch name {
			case "dc:creator":
				return d.neutral(Author, text, neutralName, where)
			case "meta:creator-initials", "loext:sender-initials":
				return d.neutral(Author, text, neutralInitials, where)
			case "dc:date":
				return d.neutral(Time, text, neutralTime, where)
			}
			return text
		},
	}
}

// emptyFolder reports whether a path in the list of parts is a folder of which
// nothing is left.
func (d *document) emptyFolder(name string) bool {
	_, drop := d.unneeded(name)
	return drop
}

// svgRules are for drawings in a document.
func (d *document) svgRules(where string) markupRules {
	return markupRules{
		drop: func(k *markupToken) (Kind, bool) {
			switch k.name {
			case "metadata", "namedview":
				d.t.found(Hidden, k.name, where)
				return 0, true
			case "script", "foreignObject":
				d.fail(whyInside)
			}
			return 0, false
		},
		attr: func(_ *markupToken, a markupAttr) (string, bool) {
			if strings.HasPrefix(a.full, "sodipodi:") || strings.HasPrefix(a.full, "inkscape:") {
				d.t.found(Hidden, a.text(), where)
				return "", false
			}
			return d.t.withoutPath(a.text(), where), true
		},
		text: func(_, text string) string { return text },
	}
}
