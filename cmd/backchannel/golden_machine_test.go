package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/node/control"
)

// TestJSONMachine is TestJSON for the commands about the machine itself.
func TestJSONMachine(t *testing.T) {
	t.Parallel()
	g := goldenHome{t, filepath.Join(t.TempDir(), "larch")}
	g.keep("man", "", "man", "status")
	g.keep("completion", "", "completion", "fish")
	document := filepath.Join(t.TempDir(), "annex.pdf")
	if err := os.WriteFile(document, annex(), 0o600); err != nil {
		t.Fatal(err)
	}
	g.keep("file-inspect", document+"\n", "file", "inspect")
	g.run("pass larch\n", "setup")
	g.keep("config-list", "", "config", "list")
	g.keep("config-get", "", "config", "get", "rest")
	g.keep("config-set", "", "config", "set", "rest", "10")
	g.keep("config-unset", "", "config", "unset", "rest")
	g.keep("error-config", "", "config", "set", "rest", "1000")
	g.keep("network-show", "", "network", "show")
	g.keep("network-join", "", "network", "join", filepath.Join("testdata", "network", "network.pem"))
	g.keep("error-other-network", "", "network", "join", filepath.Join("testdata", "network", "other.pem"))
	g.keep("route-avoid", "", "route", "avoid", "three")
	g.keep("error-too-few-left", "", "route", "avoid", "one")
	g.keep("route-allow", "", "route", "allow", "three")
	g.keep("error-no-such-relay", "", "route", "avoid", "nobody")
	g.keep("error-draft", "", "network", "join", filepath.Join("testdata", "network", "draft.pem"))
	g.keep("network-leave", "", "network", "leave")
	g.keep("error-log-not-running", "", "log", "show")
	g.serve()
	g.run("wrong\n", "unlock")
	g.keep("log-show", "", "log", "show")
	g.keep("log-level", "", "log", "level", "debug")
}

// TestJSONDoctor keeps the form of the doctor's answer; what it finds differs from
// machine to machine.
func TestJSONDoctor(t *testing.T) {
	var out, errOut bytes.Buffer
	a := &app{in: newInput(context.Background(), strings.NewReader(""), &errOut), out: &out, err: &errOut, json: true}
	err := a.showFindings([]finding{
		{fine, "cores", "no core dumps", ""},
		{warn, "address", "the address that is handed out is private: only the same local network reaches it", "backchannel node listen on --address 203.0.113.7:4127"},
	}, false)
	var e *control.Error
	if !errors.As(err, &e) || e.Exit != control.ExitCheckFailed {
		t.Errorf("a warning gives %v", err)
	}
	golden(t, filepath.Join("json", "doctor.json"), strings.Replace(out.String(), systemName(), "linux/amd64", 1))
}
