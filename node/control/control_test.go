package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/node/p2p"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/node/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a node with a store in memory behind a socket. The node listens on
// loopback, so that it can invite.
func serve(t *testing.T) (*control.Client, string) {
	t.Helper()
	memory := storetest.NewMemory()
	n := node.Open(node.Config{
		OpenStore: func(pass []byte, _ string) (node.Store, error) {
			if string(pass) != storetest.Passphrase {
				return nil, store.ErrPassphrase
			}
			memory = memory.Reopen()
			return memory, nil
		},
		OpenNetwork: func(s node.Settings) (node.Network, error) {
			network, err := p2p.Open(p2p.Config{Listen: s.Listen})
			if err != nil {
				return nil, err
			}
			return network, nil
		},
		Settings: func() (node.Settings, error) {
			return node.Settings{Listen: "127.0.0.1:0", Address: "127.0.0.1:4127"}, nil
		},
	})
	socket := filepath.Join(t.TempDir(), "run", "node.sock")
	server, err := control.Listen(n, socket, "test")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- server.Run(ctx) }()
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	return control.NewClient(socket), socket
}

func call(t *testing.T, c *control.Client, name string, request, answer any) *control.Error {
	t.Helper()
	err := c.Call(t.Context(), name, request, answer)
	if err == nil {
		return nil
	}
	var e *control.Error
	if !errors.As(err, &e) {
		t.Fatalf("%s: an error without a code: %v", name, err)
	}
	return e
}

func unlock(t *testing.T, c *control.Client) {
	t.Helper()
	if e := call(t, c, "unlock", control.UnlockRequest{Passphrase: []byte(storetest.Passphrase)}, &control.Done{}); e != nil {
		t.Fatal(e)
	}
	if e := call(t, c, "online", control.Empty{}, &control.Done{}); e != nil {
		t.Fatal(e)
	}
}

func TestOnlyTheOwnerCanOpenTheSocket(t *testing.T) {
	_, socket := serve(t)
	for path, want := range map[string]os.FileMode{socket: 0o600, filepath.Dir(socket): 0o700} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", filepath.Base(path), info.Mode().Perm(), err, want)
		}
	}
}

func TestAnOpenFolderIsClosed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	server, err := control.Listen(node.Open(node.Config{}), filepath.Join(dir, "node.sock"), "test")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v (%v)", info.Mode().Perm(), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := server.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestASecondNodeIsToldWhoRuns(t *testing.T) {
	_, socket := serve(t)
	_, err := control.Listen(node.Open(node.Config{}), socket, "test")
	e := control.Describe(err)
	if e.Code != "in_use" || !strings.Contains(e.Message, fmt.Sprintf("process %d", os.Getpid())) || e.Hint == "" {
		t.Errorf("%+v", e)
	}
}

func TestAStaleSocketIsTakenOver(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "node.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close() // as after kill -9: the file is there, nobody listens
	server, err := control.Listen(node.Open(node.Config{}), socket, "test")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := server.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestLockedNodeRefusesAllButUnlock(t *testing.T) {
	c, _ := serve(t)
	for name, request := range map[string]any{
		"invite/new": control.InviteRequest{Name: "x", Seconds: 3600}, "contact/list": control.Empty{},
		"send": control.SendRequest{Name: "1", Text: "x"}, "read": control.ReadRequest{Name: "1"},
		"contact/words": control.WordsRequest{Name: "1"}, "forge": control.ForgeRequest{Name: "1"},
	} {
		if e := call(t, c, name, request, &struct{}{}); e == nil || e.Exit != control.ExitLocked || e.Hint != "backchannel unlock" {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if e := call(t, c, "unlock", control.UnlockRequest{Passphrase: []byte("wrong")}, &control.Done{}); e == nil || e.Exit != control.ExitLocked || e.Code != "wrong_passphrase" {
		t.Errorf("wrong passphrase: %+v", e)
	}
	unlock(t, c)
	unlock(t, c) // again: checks the passphrase, and nothing else
	if e := call(t, c, "unlock", control.UnlockRequest{Passphrase: []byte("wrong")}, &control.Done{}); e == nil {
		t.Error("an open node takes a wrong passphrase")
	}
	var list control.ContactsAnswer
	if e := call(t, c, "contact/list", control.Empty{}, &list); e != nil || len(list.Contacts) != 0 {
		t.Errorf("%+v, %+v", list, e)
	}
	if e := call(t, c, "lock", control.Empty{}, &control.Done{}); e != nil {
		t.Error(e)
	}
	var s control.StatusAnswer
	if e := call(t, c, "status", control.Empty{}, &s); e != nil || s.State != "locked" || len(s.Contacts) != 0 {
		t.Errorf("%+v, %+v", s, e)
	}
}

func TestNamesAreFoundAndSuggested(t *testing.T) {
	c, _ := serve(t)
	unlock(t, c)
	for _, name := range []string{"Alder desk", "Larch", "Ганна Ш."} {
		var inv control.InviteAnswer
		if e := call(t, c, "invite/new", control.InviteRequest{Name: name, Seconds: 3600}, &inv); e != nil {
			t.Fatal(e)
		}
	}
	for typed, want := range map[string]string{"alder-desk": "Alder desk", "ALDER DESK": "Alder desk", "2": "Larch", "ганна-ш": "Ганна Ш."} {
		var a control.ContactAnswer
		if e := call(t, c, "contact/show", control.NameRequest{Name: typed}, &a); e != nil || a.Contact.Name != want {
			t.Errorf("%q finds %q, %+v", typed, a.Contact.Name, e)
		}
	}
	for typed, want := range map[string]string{"alder-dsek": "alder-desk", "lar": "larch", "xyzzyplugh": "", "99": ""} {
		e := call(t, c, "contact/show", control.NameRequest{Name: typed}, &control.ContactAnswer{})
		if e == nil || e.Exit != control.ExitNoContact || want != "" && !strings.Contains(e.Message, "did you mean "+want+"?") {
			t.Errorf("%q: %+v", typed, e)
		}
	}
	for _, bad := range []string{"", "42", "larch", "LARCH!", strings.Repeat("x", 65), "a\x1b[2Jb", "evil\u202e", "\xff"} {
		if e := call(t, c, "invite/new", control.InviteRequest{Name: bad, Seconds: 3600}, &control.InviteAnswer{}); e == nil || e.Exit != control.ExitUsage {
			t.Errorf("the name %q: %+v", bad, e)
		}
	}
}

// raw posts bytes as they are.
func raw(t *testing.T, socket, method, path string, body io.Reader) int {
	t.Helper()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://node"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Transport: transport}).Do(r)
	switch {
	case errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET): // refused while it was still being written
		return http.StatusRequestEntityTooLarge
	case err != nil:
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode
}

func TestHostileRequests(t *testing.T) {
	c, socket := serve(t)
	unlock(t, c)
	for what, r := range map[string]struct {
		method, path string
		body         io.Reader
	}{
		"not JSON":         {"POST", "/v1/send", strings.NewReader("\x00\xff")},
		"unknown field":    {"POST", "/v1/send", strings.NewReader(`{"name":"1","text":"x","more":1}`)},
		"a field too many": {"POST", "/v1/status", strings.NewReader(`{"more":1}`)},
		"one too many":     {"POST", "/v1/status", strings.NewReader(`{}{}`)},
		"two objects":      {"POST", "/v1/send", strings.NewReader(`{"name":"1"}{"name":"2"}`)},
		"too large":        {"POST", "/v1/send", io.MultiReader(strings.NewReader(`{"name":"1","text":"`), bytes.NewReader(bytes.Repeat([]byte("x"), 8<<20)))},
		"deep nesting":     {"POST", "/v1/send", strings.NewReader(strings.Repeat("[", 100_000))},
		"GET":              {"GET", "/v1/status", http.NoBody},
		"unknown call":     {"POST", "/v1/nothing", http.NoBody},
		"path traversal":   {"POST", "/v1/../../etc/passwd", http.NoBody},
		"empty body":       {"POST", "/v1/send", http.NoBody},
		"text is a list":   {"POST", "/v1/send", strings.NewReader(`{"name":"1","text":["x"]}`)},
		"negative number":  {"POST", "/v1/read", strings.NewReader(`{"name":"1","after":-1}`)},
	} {
		if code := raw(t, socket, r.method, r.path, r.body); code < 300 {
			t.Errorf("%s: status %d", what, code)
		}
	}
	var s control.StatusAnswer
	if e := call(t, c, "status", control.Empty{}, &s); e != nil || s.State != "open" {
		t.Errorf("after it all: %+v, %+v", s, e)
	}
}

func TestFollowEndsWhenTheNodeLocks(t *testing.T) {
	c, _ := serve(t)
	unlock(t, c)
	if e := call(t, c, "invite/new", control.InviteRequest{Name: "Larch", Seconds: 3600}, &control.InviteAnswer{}); e != nil {
		t.Fatal(e)
	}
	seen := make(chan control.Message, 16)
	ended := make(chan error, 1)
	go func() {
		ended <- c.Follow(t.Context(), control.ReadRequest{Name: "1"}, func(m control.Message) bool {
			seen <- m
			return true
		})
	}()
	var m control.MessageAnswer
	if e := call(t, c, "send", control.SendRequest{Name: "1", Text: "waits"}, &m); e != nil || m.Message.State != "waiting here" {
		t.Fatalf("%+v, %+v", m, e)
	}
	if got := <-seen; got.Text != "waits" || got.State != "waiting here" {
		t.Errorf("%+v", got)
	}
	if e := call(t, c, "lock", control.Empty{}, &control.Done{}); e != nil {
		t.Fatal(e)
	}
	if e := control.Describe(<-ended); e.Exit != control.ExitLocked {
		t.Errorf("follow ended with %+v", e)
	}
}

func TestManyClientsWaitTheirTurn(t *testing.T) {
	c, socket := serve(t)
	var idle []net.Conn
	for range 60 { // clients that connect and say nothing
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, conn)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var s control.StatusAnswer
	if err := c.Call(ctx, "status", control.Empty{}, &s); err != nil {
		t.Errorf("with 60 silent clients: %v", err)
	}
	for _, conn := range idle {
		_ = conn.Close()
	}
}

func TestEveryErrorHasAnExitCode(t *testing.T) {
	if e := control.Describe(&node.NoContactError{}); e.Exit != control.ExitNoContact {
		t.Errorf("%+v", e)
	}
	for err, exit := range map[error]int{
		store.ErrPassphrase: control.ExitLocked, store.ErrFull: control.ExitFailed, store.ErrDamaged: control.ExitFailed,
		store.ErrMissing: control.ExitFailed, store.ErrNewer: control.ExitFailed, node.ErrLocked: control.ExitLocked,
		node.ErrExpired: control.ExitClosed, node.ErrNoPlace: control.ExitUnreachable, p2p.ErrAddressInUse: control.ExitUnreachable,
		context.DeadlineExceeded: control.ExitNotInTime, errors.New("anything"): control.ExitFailed,
	} {
		e := control.Describe(fmt.Errorf("wrapped: %w", err))
		if e.Exit != exit || e.Message == "" || e.Code == "" {
			t.Errorf("%v: %+v", err, e)
		}
	}
	e := control.Describe(&store.InUseError{PID: 4121, Started: time.Unix(0, 0)})
	if !strings.Contains(e.Message, "process 4121") {
		t.Errorf("%+v", e)
	}
}

func TestAnswersAreStable(t *testing.T) {
	c, _ := serve(t)
	var raw json.RawMessage
	if e := call(t, c, "status", control.Empty{}, &raw); e != nil {
		t.Fatal(e)
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"v", "state", "pid", "started", "version", "listening", "proxy"} {
		if _, ok := fields[want]; !ok {
			t.Errorf("status has no field %q", want)
		}
	}
	if fields["v"] != 1.0 {
		t.Errorf("v is %v", fields["v"])
	}
}

func TestNoNode(t *testing.T) {
	e := call(t, control.NewClient(filepath.Join(t.TempDir(), "none.sock")), "status", control.Empty{}, &struct{}{})
	if e == nil || e.Exit != control.ExitNotRunning || e.Hint != "backchannel node run" {
		t.Errorf("%+v", e)
	}
}
