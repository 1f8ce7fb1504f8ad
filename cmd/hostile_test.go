package cmd_test

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

// hostilePage lists the hostile cases, and the tests that hold them.
const hostilePage = "docs/hostile.md"

// hostileToday are the cases that must name a test: those without the page and
// statecraft. The others up to hostileCases may stand there with what they come with.
var hostileToday = [][2]int{{1, 73}, {77, 77}, {79, 82}, {94, 94}, {96, 100}}

const hostileCases = 100

func isToday(n int) bool {
	for _, r := range hostileToday {
		if r[0] <= n && n <= r[1] {
			return true
		}
	}
	return false
}

var (
	hostileRow  = regexp.MustCompile(`(?m)^\| (\d+) \| .+ \| .+ \| (.*?) ?\|$`)
	hostileTest = regexp.MustCompile("`([^`]*)`")
)

// lawHostile holds the page to its numbers and to the tests of the tree.
func lawHostile(h *house, r *report) {
	text, err := fs.ReadFile(h.fsys, hostilePage)
	if err != nil {
		r.faultf("reading the hostile cases: %v", err)
		return
	}
	seen := map[string]int{}
	tests := h.tests()
	for _, row := range hostileRow.FindAllStringSubmatch(string(text), -1) {
		seen[row[1]]++
		for _, m := range hostileTest.FindAllStringSubmatch(row[2], -1) {
			r.looked++
			seen[row[1]+" held"]++
			if !tests[m[1]] {
				r.faultf("%s: case %s names %s, which does not exist", hostilePage, row[1], m[1])
			}
		}
	}
	for n := 1; n <= hostileCases; n++ {
		switch number := fmt.Sprint(n); {
		case seen[number] != 1:
			r.faultf("%s: case %d stands there %d times", hostilePage, n, seen[number])
		case isToday(n) && seen[number+" held"] == 0:
			r.faultf("%s: case %d names no test", hostilePage, n)
		}
	}
}

// tests lists what the page may name: package.TestName, and the scripts of a
// package that has TestScripts, as package.TestScripts/name.
func (h *house) tests() map[string]bool {
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z]\w*)\([a-z]+ \*testing\.[TF]\)`)
	found := map[string]bool{}
	for _, f := range h.files {
		if !f.test {
			continue
		}
		for _, m := range declared.FindAllStringSubmatch(string(f.text), -1) {
			found[path.Base(f.dir)+"."+m[1]] = true
			if m[1] != "TestScripts" {
				continue
			}
			scripts, _ := fs.Glob(h.fsys, f.dir+"/testdata/script/*.txtar") // the pattern is sound
			for _, s := range scripts {
				found[path.Base(f.dir)+".TestScripts/"+strings.TrimSuffix(path.Base(s), ".txtar")] = true
			}
		}
	}
	return found
}

func TestHostileCases(t *testing.T) {
	h, err := readHouse(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	r := new(report)
	lawHostile(h, r)
	for _, f := range r.faults {
		t.Error(f)
	}
	if r.looked < 100 {
		t.Errorf("only %d tests are named", r.looked)
	}
}

// TestHostileCasesLawCatches plants faults in a page.
func TestHostileCasesLawCatches(t *testing.T) {
	page := func(change func(n int, row string) string) fstest.MapFS {
		var b strings.Builder
		for n := 1; n <= hostileCases; n++ {
			b.WriteString(change(n, fmt.Sprintf("| %d | a case | an outcome | `wire.TestX`, `wire.TestScripts/a` |\n", n)))
		}
		fsys := soundHouse()
		fsys[hostilePage] = &fstest.MapFile{Data: []byte(b.String())}
		fsys["protocol/wire/b_test.go"] = &fstest.MapFile{Data: []byte("package wire\n\nimport \"testing\"\n\nfunc TestScripts(t *testing.T) {}\n")}
		fsys["protocol/wire/testdata/script/a.txtar"] = &fstest.MapFile{}
		return fsys
	}
	for what, c := range map[string]struct {
		change func(n int, row string) string
		faults int
	}{
		"nothing": {func(_ int, row string) string { return row }, 0},
		"a test that is not there": {func(n int, row string) string {
			if n == 5 {
				return strings.Replace(row, "wire.TestX", "wire.TestY", 1)
			}
			return row
		}, 1},
		"a script that is not there": {func(n int, row string) string {
			if n == 99 {
				return strings.Replace(row, "/a", "/b", 1)
			}
			return row
		}, 1},
		"a missing number": {func(n int, row string) string {
			if n == 34 {
				return ""
			}
			return row
		}, 1},
		"a number twice": {func(n int, row string) string {
			if n == 34 {
				return row + row
			}
			return row
		}, 1},
		"no tests": {func(n int, _ string) string { return fmt.Sprintf("| %d | a case | the page | |\n", n) }, 84},
	} {
		h, err := readHouse(page(c.change))
		if err != nil {
			t.Fatal(err)
		}
		r := new(report)
		if lawHostile(h, r); len(r.faults) != c.faults {
			t.Errorf("%s: %q", what, r.faults)
		}
	}
}
