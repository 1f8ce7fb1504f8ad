//go:build unix

package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/backchannel/backchannel/cmd/internal/harden"
	"github.com/backchannel/backchannel/protocol/secret"
)

const panicEnv = "BACKCHANNEL_TEST_PANIC"

// TestPanicShowsNoSecret ends a hardened process by a panic, with a key and a
// passphrase among the arguments of the functions that fall, and of others that
// wait. Go prints the stack of the one that fell, with the words of its arguments:
// keys lie behind pointers, so that these say nothing. No other stack is shown, and
// no core is written.
func TestPanicShowsNoSecret(t *testing.T) {
	if os.Getenv(panicEnv) != "" {
		fallHardened()
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestPanicShowsNoSecret$")
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GOTRACEBACK=") }), panicEnv+"=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), "panic: a fall") {
		t.Fatalf("the process did not fall: %v\n%s", err, out)
	}
	backwards := slices.Clone(panicKey[:8]) // as a word of the machine shows it
	slices.Reverse(backwards)
	for _, trace := range []string{
		"core may be written", "waitWith", panicPassphrase, hex.EncodeToString([]byte(panicPassphrase)[:4]),
		hex.EncodeToString(panicKey[:8]), hex.EncodeToString(backwards),
	} {
		if strings.Contains(string(out), trace) {
			t.Errorf("%q shows in:\n%s", trace, out)
		}
	}
	if n := strings.Count(string(out), "\ngoroutine "); n > 1 {
		t.Errorf("%d stacks are shown:\n%s", n, out)
	}
}

const panicPassphrase = "violet tarpaulin"

var panicKey = [32]byte{0x5e, 0xc7, 0xe7, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 31: 0x77}

func fallHardened() {
	harden.Process()
	var core syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &core); err != nil || core.Cur != 0 || core.Max != 0 {
		fmt.Println("a core may be written")
	}
	waits := make(chan struct{})
	go waitWith(waits, secret.New(&panicKey))
	go fallWith(secret.New(&panicKey), []byte(panicPassphrase), panicPassphrase)
	<-waits
}

//go:noinline
func waitWith(waits chan struct{}, key secret.Key) {
	<-waits
	key.Wipe()
}

//go:noinline
func fallWith(key secret.Key, typed []byte, text string) {
	if !key.IsZero() && len(typed) == len(text) {
		panic("a fall")
	}
}
