//go:build ignore

// Mutate deletes the checks of some packages, one at a time, and runs the package's
// own tests: each must make one fail.
//
//	go run .ci/mutate.go                     all packages below
//	go run .ci/mutate.go protocol/shuttle    some
//
// A check is an operand of || in the condition of an if, or in a case of a switch
// without a value, that ends with an error, false, nil or zero; and an operand of && in
// one that ends with no error or true, or whose switch has such a refusal as its
// default; in what a function returns as its one bool; in what a variable is set
// to; and in what a cursor requires. Every package is built once, with each check
// behind a switch that the environment throws; so a check costs one run of its tests, of
// which the quick ones are first.
// What survives must stand in docs/mutants.md with the reason, and nothing else may.
package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var packages = []string{
	"protocol/charter", "protocol/mandate", "protocol/sounding", "protocol/communique", "protocol/introduction", "protocol/shuttle",
	"protocol/onion", "protocol/cadence", "protocol/drop", "protocol/directory", "relay/mix",
}

const (
	docs   = "docs/mutants.md"
	thrown = "MUTANT" // names the check that is deleted
	off    = "checkIsDeleted"
	extra  = `package %s

import "os"

var deletedCheck = os.Getenv("` + thrown + `")

func ` + off + `(n string) bool { return n == deletedCheck }
`
)

// A check is one that can be deleted.
type check struct {
	number, file, function, text string
	line                         int
}

// key names a check in the table: line numbers change too often.
func (c check) key() string { return c.file + " " + c.function + " `" + c.text + "`" }

type edit struct {
	at   int
	text string
}

// instrumented is a file with its checks behind switches.
type instrumented struct {
	fset   *token.FileSet
	source []byte
	name   string
	edits  []edit
	checks []check
	first  int // number of the first check
}

func (f *instrumented) text(n ast.Node) string {
	return strings.Join(strings.Fields(string(f.source[f.offset(n.Pos()):f.offset(n.End())])), " ")
}

func (f *instrumented) offset(p token.Pos) int { return f.fset.Position(p).Offset }

// operands splits a condition at an operator.
func operands(e ast.Expr, op token.Token) []ast.Expr {
	if b, ok := e.(*ast.BinaryExpr); ok && b.Op == op {
		return append(operands(b.X, op), operands(b.Y, op)...)
	}
	return []ast.Expr{e}
}

func (f *instrumented) add(function string, op token.Token, conditions ...ast.Expr) {
	for _, c := range conditions {
		for _, e := range operands(c, op) {
			n := strconv.Itoa(f.first + len(f.checks))
			f.checks = append(f.checks, check{n, f.name, function, f.text(e), f.fset.Position(e.Pos()).Line})
			deleted := " && !" + off + `("` + n + `"))`
			if op == token.LAND {
				deleted = " || " + off + `("` + n + `"))`
			}
			f.edits = append(f.edits, edit{f.offset(e.Pos()), "(("}, edit{f.offset(e.End()), ")" + deleted})
		}
	}
}

// refuses reports whether a list of statements ends with a return of an error, false,
// nil or zero.
func refuses(body []ast.Stmt, results *ast.FieldList) bool {
	if len(body) == 0 || results == nil {
		return false
	}
	r, ok := body[len(body)-1].(*ast.ReturnStmt)
	if !ok || len(r.Results) == 0 {
		return false
	}
	last, _ := r.Results[len(r.Results)-1].(*ast.Ident)
	kind, _ := results.List[len(results.List)-1].Type.(*ast.Ident)
	switch {
	case kind != nil && kind.Name == "error":
		return last == nil || last.Name != "nil"
	case kind != nil && kind.Name == "bool":
		return last != nil && last.Name == "false"
	}
	switch e := r.Results[len(r.Results)-1].(type) {
	case *ast.Ident:
		return e.Name == "nil"
	case *ast.BasicLit:
		return e.Value == "0" || e.Value == `""`
	case *ast.CompositeLit:
		return len(e.Elts) == 0
	}
	return false
}

// accepts reports whether a list of statements ends with a return of no error, or true.
func accepts(body []ast.Stmt, results *ast.FieldList) bool {
	if len(body) == 0 || results == nil {
		return false
	}
	r, ok := body[len(body)-1].(*ast.ReturnStmt)
	if !ok || len(r.Results) == 0 {
		return false
	}
	last, _ := r.Results[len(r.Results)-1].(*ast.Ident)
	kind, _ := results.List[len(results.List)-1].Type.(*ast.Ident)
	return last != nil && kind != nil && (kind.Name == "error" && last.Name == "nil" || kind.Name == "bool" && last.Name == "true")
}

// refusesElse reports whether a switch refuses what none of its cases is about.
func refusesElse(s *ast.SwitchStmt, results *ast.FieldList) bool {
	for _, c := range s.Body.List {
		if c := c.(*ast.CaseClause); c.List == nil {
			return refuses(c.Body, results)
		}
	}
	return false
}

func oneBool(results *ast.FieldList) bool {
	if results == nil || len(results.List) != 1 || len(results.List[0].Names) > 1 {
		return false
	}
	kind, ok := results.List[0].Type.(*ast.Ident)
	return ok && kind.Name == "bool"
}

// walk collects the checks of a function, and of those within it.
func (f *instrumented) walk(name string, body ast.Node, results *ast.FieldList) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			f.walk(name, n.Body, n.Type.Results)
			return false
		case *ast.IfStmt:
			switch {
			case refuses(n.Body.List, results):
				f.add(name, token.LOR, n.Cond)
			case accepts(n.Body.List, results):
				f.add(name, token.LAND, n.Cond)
			}
		case *ast.SwitchStmt:
			if n.Tag != nil {
				return true
			}
			for _, s := range n.Body.List {
				switch c := s.(*ast.CaseClause); {
				case refuses(c.Body, results):
					f.add(name, token.LOR, c.List...)
				case accepts(c.Body, results) || refusesElse(n, results):
					f.add(name, token.LAND, c.List...)
				}
			}
		case *ast.AssignStmt:
			for _, e := range n.Rhs {
				if len(operands(e, token.LAND)) > 1 {
					f.add(name, token.LAND, e)
				}
			}
		case *ast.CallExpr:
			if s, ok := n.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "require" && len(n.Args) == 1 {
				f.add(name, token.LAND, n.Args[0])
			}
		case *ast.ReturnStmt:
			if oneBool(results) && len(operands(n.Results[0], token.LAND)) > 1 {
				f.add(name, token.LAND, n.Results[0])
			}
		}
		return true
	})
}

// instrument reads a file from the first number on.
func instrument(path string, first int) (*instrumented, string, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	f := &instrumented{fset: token.NewFileSet(), source: source, name: filepath.Base(path), first: first}
	file, err := parser.ParseFile(f.fset, path, source, 0)
	if err != nil {
		return nil, "", err
	}
	for _, d := range file.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
			f.walk(fn.Name.Name, fn.Body, fn.Type.Results)
		}
	}
	return f, file.Name.Name, nil
}

func (f *instrumented) rewritten() []byte {
	slices.SortStableFunc(f.edits, func(a, b edit) int { return cmp.Compare(a.at, b.at) })
	var out []byte
	at := 0
	for _, e := range f.edits {
		out = append(append(out, f.source[at:e.at]...), e.text...)
		at = e.at
	}
	return append(out, f.source[at:]...)
}

// build builds a package's tests with all checks behind switches.
func build(dir, tmp string) (binary string, checks []check, err error) {
	overlay := map[string]string{}
	names, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	root, _ := os.Getwd()
	var pkg string
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, p, err := instrument(name, len(checks)+1)
		if err != nil {
			return "", nil, err
		}
		pkg, checks = p, append(checks, f.checks...)
		to := filepath.Join(tmp, f.name)
		if err := os.WriteFile(to, f.rewritten(), 0o600); err != nil {
			return "", nil, err
		}
		overlay[filepath.Join(root, name)] = to
	}
	to := filepath.Join(tmp, "extra.go")
	if err := os.WriteFile(to, fmt.Appendf(nil, extra, pkg), 0o600); err != nil {
		return "", nil, err
	}
	overlay[filepath.Join(root, dir, "deleted_check.go")] = to
	raw, _ := json.Marshal(map[string]any{"Replace": overlay})
	list := filepath.Join(tmp, "overlay.json")
	if err := os.WriteFile(list, raw, 0o600); err != nil {
		return "", nil, err
	}
	binary = filepath.Join(tmp, "test")
	out, err := exec.Command("go", "test", "-c", "-vet=off", "-overlay", list, "-o", binary, "./"+dir).CombinedOutput()
	if err != nil {
		return "", nil, fmt.Errorf("building %s: %w\n%s", dir, err, out)
	}
	return binary, checks, nil
}

// passes runs the tests with one check deleted, or none, for so many seconds of
// computing: a test that never ends has failed, and one on a busy machine has not.
func passes(binary, dir, number string, seconds int, more ...string) (ok bool, said string, took time.Duration) {
	c := exec.Command("sh", append([]string{
		"-c", "ulimit -t " + strconv.Itoa(seconds) + ` && exec "$0" "$@"`,
		binary, "-test.short", "-test.failfast", "-test.timeout", "1h", "-test.cpu", "1",
	}, more...)...)
	c.Dir, c.Env = dir, append(os.Environ(), thrown+"="+number, "RAPID_NOFAILFILE=true") // a mutant leaves nothing behind
	out, err := c.Output()
	return err == nil, string(out), c.ProcessState.UserTime()
}

// quick is a pattern of the quickest tests, which took a tenth of the time together, by what
// all said: they are run first, and most checks need no others.
func quick(said string) string {
	type test struct {
		name string
		took float64
	}
	var tests []test
	rest := 0.0
	for _, m := range regexp.MustCompile(`(?m)^--- PASS: (\w+) \((\S+)s\)`).FindAllStringSubmatch(said, -1) {
		took, _ := strconv.ParseFloat(m[2], 64)
		tests, rest = append(tests, test{m[1], took}), rest+took/10
	}
	slices.SortFunc(tests, func(a, b test) int { return cmp.Compare(a.took, b.took) })
	names := []string{"none"}
	for _, t := range tests {
		if rest -= t.took; rest < 0 {
			break
		}
		names = append(names, t.name)
	}
	return "^(" + strings.Join(names, "|") + ")$"
}

// excused are the survivors that the table has, by package.
func excused() map[string][]string {
	text, err := os.ReadFile(docs)
	if err != nil {
		return nil
	}
	all := map[string][]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| (\\w+) \\| (\\S+) (\\w+) `` (.*?) `` \\|").FindAllStringSubmatch(string(text), -1) {
		text := strings.ReplaceAll(m[4], `\|`, "|")
		all[m[1]] = append(all[m[1]], m[2]+" "+m[3]+" `"+text+"`")
	}
	return all
}

func run(dir string, excused []string) (failed bool, err error) {
	tmp, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return true, err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	binary, checks, err := build(dir, tmp)
	if err != nil {
		return true, err
	}
	ok, said, took := passes(binary, dir, "", 600, "-test.v")
	if !ok {
		return true, fmt.Errorf("%s: the tests fail with every check in place", dir)
	}
	limit, first := 10+5*int(took/time.Second), quick(said)
	var survivors []check
	for _, c := range checks {
		ok, _, _ := passes(binary, dir, c.number, limit, "-test.run", first)
		if ok {
			ok, _, _ = passes(binary, dir, c.number, limit, "-test.skip", first)
		}
		if ok {
			survivors = append(survivors, c)
			fmt.Fprintf(os.Stderr, "%s: %s of %d, %s:%d, survives\n", dir, c.number, len(checks), c.file, c.line)
		}
	}
	fmt.Printf("| %s | %d | %d | %d |\n", filepath.Base(dir), len(checks), len(checks)-len(survivors), len(survivors))
	for _, c := range survivors {
		known := slices.Index(excused, c.key())
		if known >= 0 {
			excused = slices.Delete(slices.Clone(excused), known, known+1)
			continue
		}
		failed = true
		fmt.Printf("  survives: %s:%d | %s | %s %s `` %s `` |\n", c.file, c.line, filepath.Base(dir), c.file, c.function, c.text)
	}
	for _, key := range excused {
		failed = true
		fmt.Printf("  %s has one that does not survive: %s\n", docs, key)
	}
	return failed, nil
}

func main() {
	chosen := packages
	if len(os.Args) > 1 {
		chosen = os.Args[1:]
	}
	all := excused()
	bad := false
	fmt.Println("| package | checks | killed | survivors |")
	for _, dir := range chosen {
		failed, err := run(filepath.Clean(dir), all[filepath.Base(dir)])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		bad = bad || failed
	}
	if bad {
		os.Exit(1)
	}
}
