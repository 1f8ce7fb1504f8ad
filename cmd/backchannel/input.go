package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/identity"
)

// input is where answers come from: a terminal, which is prompted, or a pipe,
// which is read line by line in the order of the questions.
type input struct {
	lines *bufio.Reader
	file  *os.File // the terminal, or nil
	err   io.Writer
}

func newInput(stdin io.Reader, stderr io.Writer) *input {
	in := &input{lines: bufio.NewReader(stdin), err: stderr}
	if f, ok := stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		in.file = f
	}
	return in
}

// terminal reports whether a person sits there.
func (in *input) terminal() bool { return in.file != nil }

func noAnswer() error {
	return &control.Error{Code: "no_answer", Exit: control.ExitUsage, Message: "an answer was expected on standard input", Hint: "run it in a terminal, or give the answers line by line"}
}

// ask prompts and reads a line.
func (in *input) ask(prompt string) (string, error) {
	if in.terminal() {
		fmt.Fprint(in.err, prompt)
	}
	line, err := in.lines.ReadString('\n')
	if err != nil && line == "" {
		return "", noAnswer()
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// askWord prompts for a word of the list; Tab completes it on a terminal.
func (in *input) askWord(prompt string) (string, error) {
	if !in.terminal() {
		return in.ask(prompt)
	}
	fd := int(in.file.Fd())
	old, err := term.MakeRaw(fd)
	if err != nil {
		return in.ask(prompt)
	}
	defer func() { _ = term.Restore(fd, old) }()
	t := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in.lines, in.err}, prompt)
	t.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) {
		if key != '\t' || pos < 2 {
			return "", 0, false
		}
		found := identity.CompleteWord(line[:pos])
		if len(found) == 0 {
			return "", 0, false
		}
		return found[0], len(found[0]), true
	}
	line, err := t.ReadLine()
	if err != nil {
		return "", noAnswer()
	}
	return strings.TrimSpace(line), nil
}

// secret prompts and reads a line without showing it.
func (in *input) secret(prompt string) ([]byte, error) {
	if !in.terminal() {
		line, err := in.lines.ReadBytes('\n')
		if err != nil && len(line) == 0 {
			return nil, noAnswer()
		}
		return bytes.TrimRight(line, "\r\n"), nil
	}
	fmt.Fprint(in.err, prompt)
	line, err := term.ReadPassword(int(in.file.Fd()))
	fmt.Fprintln(in.err)
	if err != nil {
		return nil, noAnswer()
	}
	return line, nil
}

// rest reads all of the input, at most limit bytes. On a terminal a line with a
// single dot, or Ctrl-D, ends it.
func (in *input) rest(limit int) (string, error) {
	var b strings.Builder
	for b.Len() <= limit {
		line, err := in.lines.ReadString('\n')
		if in.terminal() && strings.TrimRight(line, "\r\n") == "." {
			break
		}
		b.WriteString(line)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", noAnswer()
		}
	}
	return strings.TrimRight(b.String(), "\r\n"), nil
}

// passphrase reads the passphrase: from the file descriptor that was named, else
// from the terminal, else from standard input.
func (a *app) passphrase(prompt string) ([]byte, error) {
	if a.fd < 0 {
		return a.in.secret(prompt)
	}
	f := os.NewFile(uintptr(a.fd), "passphrase")
	if f == nil {
		return nil, usage("the file descriptor of the passphrase is not open", "backchannel unlock --passphrase-fd 3 3<FILE")
	}
	raw, err := io.ReadAll(io.LimitReader(f, 2*store.MaxPassphrase))
	if err != nil {
		return nil, usage("the file descriptor of the passphrase cannot be read", "backchannel unlock --passphrase-fd 3 3<FILE")
	}
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	return bytes.TrimRight(line, "\r"), nil
}
