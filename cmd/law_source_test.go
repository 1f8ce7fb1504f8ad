package cmd_test

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The walls. The norm is far below them: files of 100 to 250 lines, functions
// of 10.
const (
	maxFileLines     = 600
	maxTestFileLines = 900
	maxFuncLines     = 100
	maxMainLines     = 60 // of cmd/*/main.go
)

// hidden lists what a pure tree may not use although its package may be imported:
// clocks, the standard output, and functions that draw their own randomness.
var hidden = []string{
	"time.Now", "time.Since", "time.Until", "time.Sleep", "time.After", "time.AfterFunc",
	"time.Tick", "time.NewTimer", "time.NewTicker", "time.Local", "time.LoadLocation",
	"fmt.Print", "fmt.Printf", "fmt.Println",
	"crypto/mlkem.GenerateKey768", "crypto/mlkem.GenerateKey1024",
	"crypto/ecdh.X25519().GenerateKey", "crypto/ed25519.GenerateKey",
}

// A house is the tree as the laws see it: every Go file outside testdata, for
// every platform, and the other files by name.
type house struct {
	fsys   fs.FS
	module string
	files  []*source
	rooms  map[string]string // directory with Go code → its package's name, empty if it has only tests
}

// A source is one Go file.
type source struct {
	path, dir string
	test      bool
	text      []byte
	imports   []string
	fset      *token.FileSet
	tree      *ast.File
}

func readHouse(fsys fs.FS) (*house, error) {
	mod, err := fs.ReadFile(fsys, "go.mod")
	if err != nil {
		return nil, fmt.Errorf("reading the module's name: %w", err)
	}
	m := regexp.MustCompile(`(?m)^module (\S+)$`).FindSubmatch(mod)
	if m == nil {
		return nil, errors.New("go.mod names no module")
	}
	h := &house{fsys: fsys, module: string(m[1]), rooms: map[string]string{}}
	err = fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != "." && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_")) {
			return fs.SkipDir
		}
		if d.IsDir() || path.Ext(p) != ".go" {
			return nil
		}
		return h.read(p)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the tree: %w", err)
	}
	if len(h.files) == 0 {
		return nil, errors.New("no Go file found: the laws would check nothing")
	}
	return h, nil
}

func (h *house) read(p string) error {
	text, err := fs.ReadFile(h.fsys, p)
	if err != nil {
		return err
	}
	f := &source{path: p, dir: path.Dir(p), test: strings.HasSuffix(p, "_test.go"), text: text, fset: token.NewFileSet()}
	if f.tree, err = parser.ParseFile(f.fset, p, text, parser.ParseComments|parser.SkipObjectResolution); err != nil {
		return err
	}
	for _, spec := range f.tree.Imports {
		imp, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		f.imports = append(f.imports, imp)
	}
	h.files = append(h.files, f)
	if !f.test {
		h.rooms[f.dir] = f.tree.Name.Name
	} else if _, ok := h.rooms[f.dir]; !ok {
		h.rooms[f.dir] = ""
	}
	return nil
}

// isKit reports whether dir is a test kit: a package that only tests import,
// known by its name.
func (h *house) isKit(dir string) bool { return strings.HasSuffix(h.rooms[dir], "test") }

// pure lists the files that must be pure.
func (h *house) pure() []*source {
	return slices.DeleteFunc(slices.Clone(h.files), func(f *source) bool {
		return f.test || !withinAny(f.dir, pureTrees) || h.isKit(f.dir)
	})
}

func (f *source) line(n ast.Node) int { return f.fset.Position(n.Pos()).Line }

func (f *source) linesOf(n ast.Node) int {
	return f.fset.Position(n.End()).Line - f.line(n) + 1
}

// nameOf writes an expression with the import path in place of the package's
// local name: time.Now, crypto/ecdh.X25519().GenerateKey.
func (f *source) nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.SelectorExpr:
		return f.nameOf(e.X) + "." + e.Sel.Name
	case *ast.CallExpr:
		return f.nameOf(e.Fun) + "()"
	case *ast.Ident:
		for i, spec := range f.tree.Imports {
			if spec.Name != nil && spec.Name.Name == e.Name || spec.Name == nil && path.Base(f.imports[i]) == e.Name {
				return f.imports[i]
			}
		}
		return e.Name
	}
	return ""
}

func lawPureCode(h *house, r *report) {
	for _, f := range h.pure() {
		r.looked++
		for _, spec := range f.tree.Imports {
			if spec.Name != nil && spec.Name.Name == "." {
				r.faultf("%s:%d: a dot import hides what is used", f.path, f.line(spec))
			}
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				r.faultf("%s:%d: a pure tree starts no goroutine", f.path, f.line(n))
			case *ast.SelectorExpr:
				if name := f.nameOf(n); slices.Contains(hidden, name) {
					r.faultf("%s:%d: a pure tree does not use %s", f.path, f.line(n), name)
				}
			case *ast.CallExpr:
				if name := f.nameOf(n.Fun); name == "print" || name == "println" {
					r.faultf("%s:%d: a pure tree prints nothing", f.path, f.line(n))
				}
			}
			return true
		})
	}
}

func lawPackageComment(h *house, r *report) {
	told := map[string]bool{}
	for _, f := range h.files {
		doc := f.tree.Doc.Text()
		if !f.test && doc != "" && (f.tree.Name.Name == "main" || strings.HasPrefix(doc, "Package "+f.tree.Name.Name+" ")) {
			told[f.dir] = true
		}
	}
	for dir, name := range h.rooms {
		r.looked++
		if name != "" && !told[dir] {
			r.faultf("%s: no file begins with a comment %q", dir, "Package "+name+" …")
		}
	}
}

func lawDocumented(h *house, r *report) {
	for _, f := range h.files {
		if f.test {
			continue
		}
		for _, d := range f.tree.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && receiverIsExported(d) {
					r.looked++
					if d.Doc.Text() == "" {
						r.faultf("%s:%d: %s is not documented", f.path, f.line(d), d.Name.Name)
					}
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					names, documented := declared(s)
					for _, name := range names {
						if !name.IsExported() {
							continue
						}
						r.looked++
						if !documented && d.Doc.Text() == "" {
							r.faultf("%s:%d: %s is not documented", f.path, f.line(name), name.Name)
						}
					}
				}
			}
		}
	}
}

func receiverIsExported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	exported := false
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		exported = exported || ok && id.IsExported()
		return true
	})
	return exported
}

// declared lists what a type, const or var specification declares, and reports
// whether it has a comment of its own.
func declared(s ast.Spec) ([]*ast.Ident, bool) {
	switch s := s.(type) {
	case *ast.TypeSpec:
		return []*ast.Ident{s.Name}, s.Doc.Text() != ""
	case *ast.ValueSpec:
		return s.Names, s.Doc.Text() != "" || s.Comment.Text() != ""
	}
	return nil, false
}

func lawLength(h *house, r *report) {
	for _, f := range h.files {
		if ast.IsGenerated(f.tree) {
			continue
		}
		r.looked++
		wall := maxFileLines
		switch main, _ := path.Match("cmd/*/main.go", f.path); {
		case f.test:
			wall = maxTestFileLines
		case main:
			wall = maxMainLines
		}
		if n := bytes.Count(f.text, []byte("\n")); n > wall {
			r.faultf("%s: %d lines, more than %d", f.path, n, wall)
		}
		for _, d := range f.tree.Decls {
			if d, ok := d.(*ast.FuncDecl); ok && f.linesOf(d) > maxFuncLines {
				r.faultf("%s:%d: %s has %d lines, more than %d", f.path, f.line(d), d.Name.Name, f.linesOf(d), maxFuncLines)
			}
		}
	}
}

// lawSleep allows a sleep only in a function that calls synctest, because that
// one runs under a clock that does not wait.
func lawSleep(h *house, r *report) {
	for _, f := range h.files {
		if !f.test && !h.isKit(f.dir) {
			continue
		}
		r.looked++
		for _, d := range f.tree.Decls {
			var sleeps []int
			bubble := false
			ast.Inspect(d, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok {
					switch f.nameOf(sel) {
					case "time.Sleep":
						sleeps = append(sleeps, f.line(sel))
					case "testing/synctest.Test", "testing/synctest.Wait":
						bubble = true
					}
				}
				return true
			})
			for _, line := range sleeps {
				if !bubble {
					r.faultf("%s:%d: a test waits for an event or uses synctest; it does not sleep", f.path, line)
				}
			}
		}
	}
}

func lawLeftovers(h *house, r *report) {
	mark := regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)
	for _, f := range h.files {
		r.looked++
		for _, group := range f.tree.Comments {
			for _, c := range group.List {
				if m := mark.FindString(c.Text); m != "" {
					r.faultf("%s:%d: %s in a comment: do it, or write BUG(name) with what is not solved", f.path, f.line(c), m)
				}
			}
		}
	}
}

// A plantedFault is one file put into the sound house, or taken from it if text
// is empty, and the law that must notice.
type plantedFault struct{ law, path, text string }

func plantedFaults() []plantedFault {
	const wire, node, files = "protocol/wire/fault.go", "node/fault.go", "node/metadata/fault.go"
	long := func(n int) string { return strings.Repeat("\n", n) }
	body := func(pkg, imports, rest string) string {
		return "package " + pkg + "\n\nimport (" + imports + ")\n" + rest
	}
	return []plantedFault{
		{"trees import downwards", wire, body("wire", `_ "example.org/house/node"`, "")},
		{"trees import downwards", "protocol/wire/fault_test.go", body("wire", `_ "example.org/house/node"`, "")},
		{"trees import downwards", "node/p2p/fault.go", body("p2p", `_ "example.org/house/node"`, "")},
		{"trees import downwards", node, body("node", `_ "example.org/house/relay/mix"`, "")},
		{"trees import downwards", node, body("node", `_ "example.org/house/cmd/program"`, "")},
		{"trees import downwards", node, body("node", `_ "example.org/house/node/metadata"`, "")},
		{"trees import downwards", files, body("metadata", `_ "example.org/house/protocol/wire"`, "")},
		{"trees import downwards", "docs/fault.go", "// Package docs has no law.\npackage docs\n"},
		{"heavy dependencies have one importer", node, body("node", `_ "github.com/libp2p/go-libp2p/core/peer"`, "")},
		{"heavy dependencies have one importer", "node/fault_test.go", body("node", `_ "github.com/dgraph-io/badger/v4"`, "")},
		{"heavy dependencies have one importer", wire, body("wire", `_ "github.com/flynn/noise"`, "")},
		{"test libraries and kits stay in tests", node, body("node", `_ "testing/fstest"`, "")},
		{"test libraries and kits stay in tests", node, body("node", `_ "go.uber.org/goleak"`, "")},
		{"test libraries and kits stay in tests", node, body("node", `_ "example.org/house/protocol/wiretest"`, "")},
		{"some packages are never imported", node, body("node", `_ "compress/gzip"`, "")},
		{"some packages are never imported", node, body("node", `_ "compress/flate"`, "")},
		{"some packages are never imported", node, body("node", `_ "archive/zip"`, "")},
		{"some packages are never imported", files, body("metadata", `_ "compress/gzip"`, "")},
		{"some packages are never imported", files, body("metadata", `_ "archive/zip"`, "")},
		{"some packages are never imported", "node/p2p/fault.go", body("p2p", `_ "compress/zlib"`, "")},
		{"some packages are never imported", node, body("node", `_ "github.com/quic-go/quic-go"`, "")},
		{"pure trees import nothing impure", wire, body("wire", `_ "os/exec"`, "")},
		{"pure trees import nothing impure", wire, body("wire", `_ "log/slog"`, "")},
		{"pure trees import nothing impure", wire, body("wire", `_ "math/rand/v2"`, "")},
		{"pure trees import nothing impure", wire, body("wire", `_ "crypto/rand"`, "")},
		{"pure trees import nothing impure", "protocol/wire/fault_windows.go", body("wire", `_ "net"`, "")},
		{"pure trees import nothing impure", files, body("metadata", `_ "os"`, "")},
		{"pure trees start nothing and read no clock", files, body("metadata", ``, "func start() { go start() }\n")},
		{"pure trees start nothing and read no clock", wire, body("wire", `clock "time"`, "var now = clock.Now\n")},
		{"pure trees start nothing and read no clock", wire, body("wire", ``, "func start() { go start() }\n")},
		{"pure trees start nothing and read no clock", wire, body("wire", `"crypto/ecdh"`, "var key, _ = ecdh.X25519().GenerateKey(nil)\n")},
		{"pure trees start nothing and read no clock", wire, body("wire", `. "time"`, "var now = Now\n")},
		{"pure trees start nothing and read no clock", wire, body("wire", ``, "func show() { println() }\n")},
		{"packages are named for what they hold", "node/p2p/p2p.go", "// Package util is anything.\npackage util\n"},
		{"packages have a comment", "node/node.go", body("node", `_ "os"`, "")},
		{"packages have a comment", "cmd/program/main.go", "package main\n\nfunc main() {}\n"},
		{"exported names are documented", node, body("node", ``, "func Open() {}\n")},
		{"exported names are documented", node, body("node", ``, "type Node struct{}\n")},
		{"exported names are documented", node, body("node", ``, "// Node runs.\ntype Node[T any] struct{}\n\nfunc (*Node[T]) Run() {}\n")},
		{"exported names are documented", node, body("node", ``, "const (\n\tA = 1 // told\n\tB = 2\n)\n")},
		{"files and functions are short", node, body("node", ``, long(maxFileLines))},
		{"files and functions are short", "node/fault_test.go", body("node", ``, long(maxTestFileLines))},
		{"files and functions are short", node, body("node", ``, "func f() {"+long(maxFuncLines)+"}\n")},
		{"files and functions are short", "cmd/program/main.go", "// Program is long.\npackage main\n\nfunc main() {" + long(maxMainLines) + "}\n"},
		{"tests do not sleep", "node/fault_test.go", body("node", `"time"`, "func wait() { time.Sleep(1) }\n")},
		{"nothing is left to do", node, body("node", ``, "// TODO: all of it.\n")},
		{"the map shows every directory", "node/new/new.go", "// Package new is not on the map.\npackage new\n"},
		{"the map shows every directory", "cmd/program/main.go", ""},
		{"the map shows every directory", "docs/README.md", ""},
		{"every specification has vectors", "docs/spec/b.md", "There is none."},
		{"every specification has vectors", "docs/spec/b.md", "See `protocol/wire/testdata/gone.json`."},
		{"links lead somewhere", "docs/b.md", "See [a](spec/gone.md)."},
		{"links lead somewhere", "docs/b.md", "See [a](spec/a.md#gone)."},
		{"the root holds only what belongs there", "notes.txt", "to be sorted"},
	}
}
