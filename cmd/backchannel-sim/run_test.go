package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/cmd/internal/sim"
)

// TestFiles: what is written is a trace and a truth as docs/simulator.md says.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	trace, truth := filepath.Join(dir, "trace.csv"), filepath.Join(dir, "truth.json")
	var out, errs bytes.Buffer
	args := strings.Fields("--users 4 --relays 5 --operators 2 --hours 0.2 --talking-pairs 1 --seed 3 --fast --trace " + trace + " --truth " + truth)
	if code := run(args, &out, &errs); code != exitDone {
		t.Fatalf("%d: %s", code, errs.String())
	}
	if !strings.Contains(out.String(), "messages in") {
		t.Errorf("it said %q", out.String())
	}
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil || strings.Join(rows[0], ",") != "t,src,dst,size" {
		t.Fatalf("%v, %v", rows[0], err)
	}
	last := 0.0
	for _, r := range rows[1:] {
		at, err := strconv.ParseFloat(r[0], 64)
		size, err2 := strconv.Atoi(r[3])
		if err != nil || err2 != nil || at < last || at > 720 || size <= 0 || r[1] == r[2] {
			t.Fatalf("the row %q after %f", r, last)
		}
		last = at
	}
	if text, err = os.ReadFile(truth); err != nil {
		t.Fatal(err)
	}
	var said sim.Truth
	if err := json.Unmarshal(text, &said); err != nil || len(said.Users) != 4 || len(said.Relays) != 5 || said.Duration != 720 {
		t.Errorf("%+v, %v", said, err)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range []string{"--users 1", "--relays 300", "--loss 1", "--hours 0", "--frames some", "--online-hours 25", "--nothing", "more"} {
		var out, errs bytes.Buffer
		if code := run(strings.Fields(args), &out, &errs); code != exitUsage || errs.Len() == 0 {
			t.Errorf("%s: %d", args, code)
		}
	}
	var out, errs bytes.Buffer
	if code := run([]string{"--help"}, &out, &errs); code != exitDone || !strings.Contains(errs.String(), "--talking-pairs") {
		t.Error("no help")
	}
}
