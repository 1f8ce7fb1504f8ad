package metadata

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// archive inspects and cleans a ZIP archive, or the document that it is.
func (t *task) archive(data []byte, where string, depth int) outcome {
	a, err := readZip(data)
	switch {
	case err != nil:
		return cannot(ZIP, whyDamaged)
	case depth >= maxDepth:
		return cannot(ZIP, whyDeep)
	}
	format := a.format(t)
	for i := range a.entries {
		if e := &a.entries[i]; e.flags&zipFlagCrypt != 0 {
			t.archiveFrame(a, where)
			return cannot(format, whyCrypt)
		}
	}
	switch format {
	case OfficeXML, OpenDocument:
		return t.document(format, a, where, depth)
	case EPUB:
		return cannot(EPUB, EPUB.why())
	default:
		return t.plainArchive(a, where, depth)
	}
}

// format tells documents from other archives.
func (a *zipArchive) format(t *task) Format {
	for i := range a.entries {
		switch e := &a.entries[i]; {
		case e.name == "[Content_Types].xml":
			return OfficeXML
		case e.name == "mimetype" && e.size < 200:
			kind, err := e.content(t)
			switch {
			case err == nil && strings.HasPrefix(string(kind), "application/vnd.oasis.opendocument."):
				return OpenDocument
			case err == nil && strings.HasPrefix(string(kind), "application/epub"):
				return EPUB
			}
		}
	}
	return ZIP
}

// archiveFrame reports what the archive says about its entries.
func (t *task) archiveFrame(a *zipArchive, where string) {
	if len(a.comment) > 0 {
		t.found(Comment, string(a.comment), within(where, "comment of the archive"))
	}
	if a.hidden > 0 {
		t.found(Hidden, size(a.hidden), within(where, "between the entries"))
	}
	extras := map[uint16]bool{}
	timed, made := false, false
	for i := range a.entries {
		e := &a.entries[i]
		if len(e.comment) > 0 {
			t.found(Comment, string(e.comment), within(where, "comment of an entry"))
		}
		if e.time != zipNoTime && e.time != 0 && !timed {
			timed = true
			d := e.time >> 16
			t.found(Time, dateText(1980+int(d>>9), int(d>>5&15), int(d&31), int(e.time>>11&31), int(e.time>>5&63)), within(where, "times of the entries"))
		}
		if e.madeOn != 0 && !made {
			made = true
			t.found(Software, "packed on "+zipSystem(e.madeOn), where)
		}
		if e.madeOn == 3 && e.attributes>>16 != 0 {
			t.found(Hidden, "permissions", within(where, "entries"))
		}
		t.extraFields(e.extra, extras, where)
		t.extraFields(e.localExtra, extras, where)
	}
}

func zipSystem(n byte) string {
	switch n {
	case 3:
		return "Unix"
	case 10, 11:
		return "Windows"
	case 19, 7:
		return "a Mac"
	}
	return fmt.Sprintf("system %d", n)
}

// extraFields reports each kind of extra field once for an archive.
func (t *task) extraFields(b []byte, seen map[uint16]bool, where string) {
	where = within(where, "extra fields")
	for len(b) >= 4 {
		id, n := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		if n > len(b)-4 {
			break
		}
		v := b[4 : 4+n]
		b = b[4+n:]
		if seen[id] {
			continue
		}
		seen[id] = true
		switch id {
		case 0x5455, 0x000A, 0x5855:
			t.found(Time, "", where)
		case 0x7875:
			t.found(Account, zipOwner(v), where)
		case 0x7855, 0x756E, 0x000D:
			t.found(Account, "", where)
		default:
			t.found(Hidden, fmt.Sprintf("field %04X, %d bytes", id, n), where)
		}
	}
	if len(b) > 0 && !seen[0] {
		seen[0] = true
		t.found(Hidden, size(len(b)), where)
	}
}

// zipOwner reads the numbers of a user and a group.
func zipOwner(v []byte) string {
	var ids []string
	for v = v[min(1, len(v)):]; len(v) > 1 && int(v[0]) < len(v) && v[0] <= 8; v = v[1+v[0]:] {
		var n uint64
		for i := int(v[0]); i > 0; i-- {
			n = n<<8 | uint64(v[i])
		}
		ids = append(ids, fmt.Sprint(n))
	}
	return strings.Join(ids, ":")
}

// plainArchive cleans every file of an archive. One that cannot be cleaned makes
// the whole one that cannot: a copy which is clean only in part would be taken
// for one that is clean.
func (t *task) plainArchive(a *zipArchive, where string, depth int) outcome {
	t.archiveFrame(a, where)
	w, names, why := &zipWriter{}, nameWriter{t: t, where: where, taken: map[string]int{}}, ""
	for i := range a.entries {
		e := &a.entries[i]
		inside := within(where, e.name)
		if systemFile(e.name) {
			t.found(Hidden, "file of the system that packed it", inside)
			continue
		}
		name := names.clean(e.name)
		if name == "" {
			continue
		}
		content, err := e.content(t)
		if err != nil || t.spent() {
			return cannot(ZIP, damagedOr(t, err))
		}
		if e.madeOn == 3 && e.attributes>>28 == 0xA { // a symbolic link
			t.found(Path, string(content), inside)
			continue
		}
		if e.folder() && len(content) > 0 {
			t.found(Hidden, size(len(content)), inside)
			content = nil
		}
		out := t.file(content, inside, depth+1)
		if out.cleaned == nil {
			t.kept(Uncleanable, e.name, within(where, out.format.String()))
			why = whyInside
			if out.why == whyCrypt || out.why == whyDeep {
				why = whyInside + " (" + out.why + ")"
			}
			continue
		}
		w.add(name, e.utf8, e.method, out.cleaned)
	}
	names.finish()
	if why != "" {
		return cannot(ZIP, why)
	}
	if cleaned := w.finish(); cleaned != nil {
		return outcome{format: ZIP, cleaned: cleaned}
	}
	return cannot(ZIP, whySpent)
}

// damagedOr says why a part could not be read.
func damagedOr(t *task, err error) string {
	if t.spent() || errors.Is(err, errSpent) {
		return whySpent
	}
	return whyDamaged
}

// systemFile reports whether an entry is there for the system of whoever packed
// the archive, and not for who unpacks it.
func systemFile(name string) bool {
	switch path.Base(name) {
	case ".DS_Store", "Thumbs.db", "desktop.ini", "Desktop.ini", ".directory":
		return true
	}
	return strings.HasPrefix(name, "__MACOSX/") || strings.HasPrefix(path.Base(name), "._")
}

// homeFolder is a path to the folder of a user, at the beginning of a name.
var homeFolder = regexp.MustCompile(`^(?i)(?:users|home|documents and settings)[/\\]+[^/\\]+[/\\]+`)

// localPath finds paths of a machine: what cannot lead anywhere on another one.
var localPath = regexp.MustCompile(`^(?i)(?:file:|[a-z]:[/\\]|\\\\|/(?:users|home|tmp|mnt|media|volumes|var/folders)/|/[a-z]/(?:users|documents and settings)/)`)

// withoutPath returns the last part of a path of a machine, and any other text as
// it is.
func (t *task) withoutPath(s, where string) string {
	if !isLocalPath(s) {
		return s
	}
	t.found(Path, s, where)
	s = strings.TrimRight(s, "/\\")
	s = s[strings.LastIndexAny(s, "/\\")+1:]
	if isLocalPath(s + "/") {
		return ""
	}
	return s
}

func isLocalPath(s string) bool {
	// Most values are told apart by a letter or two, without the expression.
	return len(s) > 2 && (s[0] == '/' || s[0] == '\\' || s[0]|0x20 == 'f' || s[1] == ':') && localPath.MatchString(s)
}

// A nameWriter gives entries names without the folders of a user.
type nameWriter struct {
	t      *task
	where  string
	taken  map[string]int
	listed int
}

// clean returns the name for the copy. A path to a user's folder and what leads
// out of the archive is dropped from its beginning; the rest is kept and said. It
// is empty for a folder of which nothing is left.
func (n *nameWriter) clean(name string) string {
	rest := shortName(name)
	if rest != name {
		n.t.found(Path, name, n.where)
	}
	if rest == "" && !strings.HasSuffix(name, "/") {
		rest = "file"
	}
	if rest == "" {
		return ""
	}
	folder, base := path.Split(rest)
	for n.taken[rest] > 0 { // two that differed only in what was dropped
		first := folder + base
		n.taken[first]++
		if rest = fmt.Sprintf("%s%d-%s", folder, n.taken[first], base); len(rest) > 0xFFFF {
			return ""
		}
	}
	n.taken[rest] = 1
	if n.listed++; n.listed <= maxNames {
		n.t.kept(Name, rest, n.where)
	}
	return rest
}

// shortName drops from the beginning of a name what leads out of the archive or
// to a user's folder.
func shortName(name string) string {
	for {
		rest := strings.TrimLeft(name, "/\\")
		rest = strings.TrimPrefix(rest, "../")
		if len(rest) > 2 && rest[1] == ':' && (rest[2] == '/' || rest[2] == '\\') {
			rest = rest[2:]
		}
		if at := homeFolder.FindStringIndex(rest); at != nil {
			rest = rest[at[1]:]
		} else if isHome(rest) {
			rest = ""
		}
		if rest == name {
			return rest
		}
		name = rest
	}
}

// isHome reports whether a path is the folder of the users itself.
func isHome(name string) bool {
	switch strings.ToLower(strings.Trim(name, "/")) {
	case "users", "home", "documents and settings":
		return strings.HasSuffix(name, "/")
	}
	return false
}

// finish says how many names were not listed.
func (n *nameWriter) finish() {
	if n.listed > maxNames {
		n.t.kept(Name, fmt.Sprintf("and %d more", n.listed-maxNames), n.where)
	}
}
