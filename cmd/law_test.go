// Package cmd_test holds the laws of the whole tree.
//
// The tables in this file are policy. They say how the house is built, not how
// it happens to stand today: do not change them to make a build pass. A change
// here is a change of architecture, and docs/architecture.md says why.
//
// This file has the laws about rooms (who may import whom) and about the tree
// on disk. law_source_test.go has the laws about what is written in a file.
// Every law is a function over a [house], and each is shown a planted fault
// that it must catch.
package cmd_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// mayImport says which of our own trees each tree may import. The longest name
// that fits a directory decides.
var mayImport = map[string][]string{
	"protocol":   {"protocol"},
	"node":       {"node", "protocol"},
	"node/p2p":   {"node/p2p", "protocol"},
	"node/store": {"node/store", "protocol"},
	"relay":      {"relay", "protocol", "node/p2p"},
	"cmd":        {"cmd", "node", "relay", "protocol"},

	"node/metadata": {"node/metadata"},
}

// onlyFor names rooms that are shut to all others, whatever mayImport says.
var onlyFor = map[string][]string{
	// It compresses, and reads files that a person chose: the faces ask it before
	// a file is handed to the node, and nothing on the way of a text can reach it.
	"node/metadata": {"cmd"},
}

// soleImporter names the only trees that may reach a heavy dependency, so that
// it can be judged, tamed or replaced in one place. Tests are held to it too.
var soleImporter = map[string][]string{
	"github.com/libp2p":      {"node/p2p"},
	"github.com/dgraph-io":   {"node/store", "relay/drop"},
	"github.com/flynn/noise": {"protocol/handshake"}, // forge goes through it: what forges is what runs
}

// testOnly lists what nothing but tests and test kits may import.
var testOnly = []string{"testing", "pgregory.net/rapid", "go.uber.org/goleak", "github.com/rogpeppe/go-internal"}

// neverImported lists what no program of ours may import, and why.
var neverImported = map[string]string{
	"compress":                                               "the size of compressed text tells what the text is",
	"github.com/klauspost/compress":                          "the size of compressed text tells what the text is",
	"github.com/golang/snappy":                               "the size of compressed text tells what the text is",
	"github.com/andybalholm/brotli":                          "the size of compressed text tells what the text is",
	"github.com/pierrec/lz4":                                 "the size of compressed text tells what the text is",
	"archive/zip":                                            "it compresses: the size of compressed text tells what the text is",
	"github.com/quic-go":                                     "QUIC signs the transcript: proof of peer and time",
	"github.com/libp2p/go-libp2p/p2p/transport/quic":         "QUIC signs the transcript: proof of peer and time",
	"github.com/libp2p/go-libp2p/p2p/transport/webtransport": "WebTransport signs the transcript",
	"github.com/libp2p/go-libp2p/p2p/transport/webrtc":       "WebRTC's certificate lives as long as the host key",
	"github.com/libp2p/go-libp2p/p2p/host/blank":             "it sends a signed record of its addresses",
	"github.com/libp2p/go-libp2p/p2p/http/auth":              "it signs the other side's key and challenge",
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns":         "it tells the local network",
}

// neverExcept lists the exceptions, each for one package and one import, with its
// reason.
var neverExcept = map[string]string{
	"node/metadata imports compress/flate": "archives and office documents are packed with it; a cleaned copy is a file that travels as it is, and is never mixed with texts",
	"node/metadata imports compress/zlib":  "PDF and PNG are packed with it; as above",
}

// pureTrees lists the trees that are pure.
var pureTrees = []string{"protocol", "node/metadata"}

// impure lists what a pure tree may not import: bytes, time and randomness come in
// as arguments, bytes and events go out, and one caller at a time.
var impure = []string{
	"net", "os", "log", "math/rand", "crypto/rand", "unsafe", "syscall", "plugin", "C",
	"sync", "context", "golang.org/x/sys", "golang.org/x/net",
}

// impureExcept lists the exceptions, each with its reason.
var impureExcept = map[string]string{
	"net/netip":                        "addresses as values; it opens nothing and asks nobody",
	"protocol/secret imports log/slog": "a key implements LogValuer so that it cannot be logged",
}

// namesNothing lists package names that say nothing about what is inside.
var namesNothing = []string{"util", "utils", "common", "helper", "helpers", "misc", "types", "base", "shared", "lib"}

// topLevel lists everything that may stand at the root of the repository,
// besides what .gitignore names.
var topLevel = []string{
	".ci", ".git", ".gitattributes", ".gitignore", ".golangci.yml", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE",
	"README.md", "SECURITY.md", "cmd", "docs", "go.mod", "go.sum", "node", "protocol", "relay",
}

// A law looks at the house and reports its faults, and how much it looked at: a
// law that looked at nothing has failed.
type law struct {
	name  string
	check func(*house, *report)
}

type report struct {
	looked int
	faults []string
}

func (r *report) faultf(format string, args ...any) {
	r.faults = append(r.faults, fmt.Sprintf(format, args...))
}

func (l law) run(h *house) *report {
	r := new(report)
	l.check(h, r)
	return r
}

var laws = []law{
	{"trees import downwards", lawTrees},
	{"heavy dependencies have one importer", lawSoleImporter},
	{"test libraries and kits stay in tests", lawTestOnly},
	{"some packages are never imported", lawNever},
	{"pure trees import nothing impure", lawPureImports},
	{"pure trees start nothing and read no clock", lawPureCode},
	{"packages are named for what they hold", lawNames},
	{"packages have a comment", lawPackageComment},
	{"exported names are documented", lawDocumented},
	{"files and functions are short", lawLength},
	{"tests do not sleep", lawSleep},
	{"nothing is left to do", lawLeftovers},
	{"the map shows every directory", lawMap},
	{"every specification has vectors", lawVectors},
	{"links lead somewhere", lawLinks},
	{"the root holds only what belongs there", lawTopLevel},
}

func TestLaws(t *testing.T) {
	h, err := readHouse(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range laws {
		t.Run(strings.ReplaceAll(l.name, " ", "_"), func(t *testing.T) {
			r := l.run(h)
			for _, f := range r.faults {
				t.Error(f)
			}
			if r.looked == 0 {
				t.Error("this law looked at nothing")
			}
		})
	}
}

// within reports whether a path is tree itself or lies below it.
func within(p, tree string) bool { return p == tree || strings.HasPrefix(p, tree+"/") }

func withinAny(p string, trees []string) bool {
	return slices.ContainsFunc(trees, func(tree string) bool { return within(p, tree) })
}

// treeOf finds the longest entry of mayImport that dir lies in.
func treeOf(dir string) string {
	best := ""
	for tree := range mayImport {
		if within(dir, tree) && len(tree) > len(best) {
			best = tree
		}
	}
	return best
}

func lawTrees(h *house, r *report) {
	for _, f := range h.files {
		tree := treeOf(f.dir)
		if tree == "" {
			r.faultf("%s: there is no law for the tree %q", f.path, f.dir)
			continue
		}
		for _, imp := range f.imports {
			to, ours := strings.CutPrefix(imp, h.module+"/")
			if !ours {
				continue
			}
			r.looked++
			if !withinAny(to, mayImport[tree]) {
				r.faultf("%s imports %s; %s may import only %v", f.path, to, tree, mayImport[tree])
			}
			for room, only := range onlyFor {
				if within(to, room) && !within(f.dir, room) && !withinAny(f.dir, only) {
					r.faultf("%s imports %s; only %v may", f.path, to, only)
				}
			}
		}
	}
}

func lawSoleImporter(h *house, r *report) {
	for _, f := range h.files {
		for _, imp := range f.imports {
			r.looked++
			for dependency, only := range soleImporter {
				if within(imp, dependency) && !withinAny(f.dir, only) {
					r.faultf("%s imports %s; only %v may", f.path, imp, only)
				}
			}
		}
	}
}

func lawTestOnly(h *house, r *report) {
	for _, f := range h.files {
		if f.test || h.isKit(f.dir) {
			continue
		}
		for _, imp := range f.imports {
			r.looked++
			own, _ := strings.CutPrefix(imp, h.module+"/")
			if withinAny(imp, testOnly) || h.isKit(own) {
				r.faultf("%s imports %s, which is for tests", f.path, imp)
			}
		}
	}
}

func lawNever(h *house, r *report) {
	for _, f := range h.files {
		if f.test {
			continue // a test may compress what must be noise
		}
		for _, imp := range f.imports {
			r.looked++
			for forbidden, why := range neverImported {
				if within(imp, forbidden) && neverExcept[f.dir+" imports "+imp] == "" {
					r.faultf("%s imports %s: %s", f.path, imp, why)
				}
			}
		}
	}
}

func lawPureImports(h *house, r *report) {
	for _, f := range h.pure() {
		for _, imp := range f.imports {
			r.looked++
			excepted := impureExcept[imp] != "" || impureExcept[f.dir+" imports "+imp] != ""
			if withinAny(imp, impure) && !excepted {
				r.faultf("%s imports %s; %v are pure", f.path, imp, pureTrees)
			}
		}
	}
}

func lawNames(h *house, r *report) {
	for dir, name := range h.rooms {
		r.looked++
		if slices.Contains(namesNothing, name) || slices.Contains(namesNothing, path.Base(dir)) {
			r.faultf("%s: package %s names nothing", dir, name)
		}
	}
}

// lawMap holds docs/README.md to the tree, in both directions: a line of its
// tree that begins with a directory's path and a slash is that directory's.
func lawMap(h *house, r *report) {
	text, err := fs.ReadFile(h.fsys, "docs/README.md")
	if err != nil {
		r.faultf("reading the map: %v", err)
		return
	}
	shown := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([\w./-]+)/ +\S`).FindAllStringSubmatch(string(text), -1) {
		dir := m[1]
		shown[dir] = true
		if info, err := fs.Stat(h.fsys, dir); err != nil || !info.IsDir() {
			r.faultf("docs/README.md shows %s/, which does not exist", dir)
		}
	}
	for dir := range h.rooms {
		r.looked++
		if !shown[dir] {
			r.faultf("docs/README.md does not show %s/", dir)
		}
	}
}

func lawVectors(h *house, r *report) {
	specs, err := fs.Glob(h.fsys, "docs/spec/*.md")
	if err != nil {
		r.faultf("listing specifications: %v", err)
	}
	named := regexp.MustCompile(`[\w./-]+/testdata/[\w./-]*\w`)
	for _, spec := range specs {
		r.looked++
		text, err := fs.ReadFile(h.fsys, spec)
		if err != nil {
			r.faultf("reading a specification: %v", err)
			continue
		}
		files := named.FindAllString(string(text), -1)
		if len(files) == 0 {
			r.faultf("%s names no file of vectors (room/testdata/name)", spec)
		}
		for _, f := range files {
			if _, err := fs.Stat(h.fsys, f); err != nil {
				r.faultf("%s names %s, which does not exist", spec, f)
			}
		}
	}
}

// lawLinks follows each link of our documents that stays in the repository, to
// the file and to the heading.
func lawLinks(h *house, r *report) {
	var pages []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/spec/*.md"} {
		found, err := fs.Glob(h.fsys, pattern)
		if err != nil {
			r.faultf("listing documents: %v", err)
		}
		pages = append(pages, found...)
	}
	link := regexp.MustCompile(`\]\(([^)#:\s]*)(?:#([^)\s]*))?\)`)
	for _, page := range pages {
		text, err := fs.ReadFile(h.fsys, page)
		if err != nil {
			r.faultf("reading a document: %v", err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			r.looked++
			target := page
			if m[1] != "" {
				target = path.Join(path.Dir(page), m[1])
			}
			if _, err := fs.Stat(h.fsys, target); err != nil {
				r.faultf("%s links to %s, which does not exist", page, target)
			} else if m[2] != "" && !hasHeading(h.fsys, target, m[2]) {
				r.faultf("%s links to %s, which has no heading %q", page, target, m[2])
			}
		}
	}
}

// hasHeading reports whether a page has a heading that GitHub gives this anchor.
func hasHeading(fsys fs.FS, page, anchor string) bool {
	text, err := fs.ReadFile(fsys, page)
	if err != nil {
		return false
	}
	drop := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for _, m := range regexp.MustCompile(`(?m)^#+ +(.+?) *$`).FindAllStringSubmatch(string(text), -1) {
		if strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-") == anchor {
			return true
		}
	}
	return false
}

func lawTopLevel(h *house, r *report) {
	entries, err := fs.ReadDir(h.fsys, ".")
	if err != nil {
		r.faultf("listing the root: %v", err)
	}
	ignore, _ := fs.ReadFile(h.fsys, ".gitignore") // without one, nothing is ignored
	for _, e := range entries {
		r.looked++
		ignored := slices.ContainsFunc(strings.Fields(string(ignore)), func(pattern string) bool {
			match, err := path.Match(strings.Trim(pattern, "/"), e.Name())
			return err == nil && match
		})
		if !ignored && !slices.Contains(topLevel, e.Name()) {
			r.faultf("%s does not belong at the root", e.Name())
		}
	}
}

// soundHouse is a small tree without a fault; the faults are planted in it.
func soundHouse() fstest.MapFS {
	files := map[string]string{
		"go.mod":         "module example.org/house\n",
		".gitignore":     "/program\n*.prof\n",
		"program":        "built",
		"docs/README.md": "protocol/wire/  cells\nprotocol/wiretest/  kit\nnode/  the node\nnode/metadata/  files\nnode/p2p/  hosts\ncmd/program/  the program\ndocs/  this\n",
		"docs/spec/a.md": "# On bytes\n\n[this page](a.md), [here](#on-bytes), [elsewhere](https://example.org/x#y). Vectors: `protocol/wire/testdata/cell.json`.",

		"protocol/wire/testdata/cell.json": "{}",
		"protocol/wire/wire.go":            "// Package wire is bytes.\npackage wire\n\nimport \"time\"\n\n// A Cell has a size.\ntype Cell [2]byte\n\n// At is a time.\nfunc At(t time.Time) int64 { return t.Unix() }\n",
		"protocol/wire/wire_test.go":       "package wire\n\nimport (\n\t\"testing\"\n\t\"testing/synctest\"\n\t\"time\"\n)\n\nfunc TestX(t *testing.T) { synctest.Test(t, func(*testing.T) { time.Sleep(1) }) }\n",
		"protocol/wiretest/kit.go":         "// Package wiretest is a kit.\npackage wiretest\n\nimport _ \"testing\"\n",
		"node/node.go":                     "// Package node runs.\npackage node\n\nimport (\n\t_ \"os\"\n\n\t_ \"example.org/house/protocol/wire\"\n)\n",
		"node/metadata/metadata.go":        "// Package metadata reads archives.\npackage metadata\n\nimport (\n\t_ \"compress/flate\"\n\t_ \"compress/zlib\"\n)\n",
		"node/p2p/p2p.go":                  "// Package p2p dials.\npackage p2p\n\nimport _ \"github.com/libp2p/go-libp2p\"\n",
		"cmd/program/main.go":              "// Program runs a node.\npackage main\n\nimport (\n\t_ \"example.org/house/node\"\n\t_ \"example.org/house/node/metadata\"\n)\n\nfunc main() {}\n",
	}
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func TestSoundHouseKeepsEveryLaw(t *testing.T) {
	h, err := readHouse(soundHouse())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range laws {
		if r := l.run(h); len(r.faults) != 0 || r.looked == 0 {
			t.Errorf("%s: looked at %d, found %q", l.name, r.looked, r.faults)
		}
	}
}

func TestEmptyHouseIsAnError(t *testing.T) {
	if _, err := readHouse(fstest.MapFS{"go.mod": {Data: []byte("module example.org/house\n")}}); err == nil {
		t.Error("a tree without Go files was read without an error")
	}
	h := &house{fsys: fstest.MapFS{}}
	for _, l := range laws {
		if r := l.run(h); r.looked != 0 {
			t.Errorf("%s: claims to have looked at %d things in an empty house", l.name, r.looked)
		}
	}
}

// TestEachLawCatchesItsFault plants each fault alone, and wants it found by its
// own law and by no other.
func TestEachLawCatchesItsFault(t *testing.T) {
	caught := map[string]bool{}
	for _, fault := range plantedFaults() {
		fsys := soundHouse()
		if fault.text == "" {
			delete(fsys, fault.path)
		} else {
			fsys[fault.path] = &fstest.MapFile{Data: []byte(fault.text)}
		}
		h, err := readHouse(fsys)
		if err != nil {
			t.Fatalf("%s: %v", fault.path, err)
		}
		for _, l := range laws {
			faults := l.run(h).faults
			if found := len(faults) != 0; found != (l.name == fault.law) {
				t.Errorf("fault in %s against %q:\n%s\n%q found %q", fault.path, fault.law, fault.text, l.name, faults)
			}
			if l.name == fault.law {
				caught[l.name] = true
			}
		}
	}
	for _, l := range laws {
		if !caught[l.name] {
			t.Errorf("no fault was planted against %q", l.name)
		}
	}
	if len(caught) != len(laws) {
		t.Errorf("faults were planted against %v", slices.Sorted(maps.Keys(caught)))
	}
}
