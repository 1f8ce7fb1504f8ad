package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// noJSON lists the commands of which no answer is kept, each with the reason.
var noJSON = map[string]string{
	"node run": "it answers nothing until it is stopped: how it ended is its exit code, and its errors are kept",
	"demo":     "it is shown to people; what it runs is kept under the commands that it runs",
}

// TestGoldenFilesAndCommands wants an answer of every command that can be run, or a
// reason why there is none, and every golden file to be of a command that exists
// and of a test that compares it.
func TestGoldenFilesAndCommands(t *testing.T) {
	helps, runnable := map[string]bool{}, map[string]bool{}
	everyCommand((&app{}).root(), nil, func(c *cobra.Command, path []string) {
		helps[strings.Join(append([]string{"backchannel"}, path...), "-")] = true
		if c.HasSubCommands() && c.Name() != "forge" {
			return
		}
		name := strings.Join(path, "-")
		runnable[name] = true
		_, err := os.Stat(filepath.Join("testdata", "golden", "json", name+".json"))
		switch _, excepted := noJSON[strings.Join(path, " ")]; {
		case err != nil && !excepted:
			t.Errorf("%s: no answer with --json is kept, and no reason is given", strings.Join(path, " "))
		case err == nil && excepted:
			t.Errorf("%s: an answer is kept, and a reason is given why not", strings.Join(path, " "))
		}
	})
	for path := range noJSON {
		if !runnable[strings.ReplaceAll(path, " ", "-")] {
			t.Errorf("%s: a reason is given for a command that is not there", path)
		}
	}
	for _, name := range goldenNames(t, "help", ".txt") {
		if !helps[name] {
			t.Errorf("help/%s.txt is of no command", name)
		}
	}
	tests := testSource(t)
	for _, name := range goldenNames(t, "json", ".json") {
		if !strings.HasPrefix(name, "error-") && !ofCommand(name, runnable) {
			t.Errorf("json/%s.json is of no command", name)
		}
		if !strings.Contains(tests, `"`+name+`"`) && !strings.Contains(tests, `"`+name+`.json"`) {
			t.Errorf("json/%s.json is compared by no test", name)
		}
	}
}

// ofCommand reports whether the name of a golden file is that of a command, alone
// or with what tells one answer from another after it.
func ofCommand(name string, runnable map[string]bool) bool {
	for end := len(name); end > 0; end = strings.LastIndexByte(name[:end], '-') {
		if runnable[name[:end]] {
			return true
		}
	}
	return false
}

// goldenNames lists the golden files of a folder without their ending.
func goldenNames(t *testing.T, dir, ending string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join("testdata", "golden", dir))
	if err != nil || len(entries) == 0 {
		t.Fatalf("%s: %d files, %v", dir, len(entries), err)
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ending)
		if !ok {
			t.Errorf("%s/%s is no golden file", dir, e.Name())
		}
		names = append(names, name)
	}
	return names
}

// testSource returns the source of this package's tests.
func testSource(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(raw)
	}
	return all.String()
}
