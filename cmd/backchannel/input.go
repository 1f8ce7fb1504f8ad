package main

import (
	"bufio"
	"bytes"
	"context"
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
	ctx   context.Context //nolint:containedctx // of one call of the program: Ctrl-C ends every question
	lines *bufio.Reader
	file  *os.File       // the terminal, or nil
	words *term.Terminal // asks for words of the list; keeps what was typed ahead
	err   io.Writer
}

func newInput(ctx context.Context, stdin io.Reader, stderr io.Writer) *input {
	in := &input{ctx: ctx, lines: bufio.NewReader(stdin), err: stderr}
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

// await reads until read returns or Ctrl-C is pressed; the reader that is left
// behind ends with the process.
func await[T any](in *input, read func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	got := make(chan result, 1)
	go func() {
		value, err := read()
		got <- result{value, err}
	}()
	select {
	case r := <-got:
		return r.value, r.err
	case <-in.ctx.Done():
		if in.terminal() {
			fmt.Fprintln(in.err)
		}
		var none T
		return none, context.Canceled
	}
}

// line reads one line; the last one may lack its end.
func (in *input) line() (string, error) {
	line, err := await(in, func() (string, error) {
		line, err := in.lines.ReadString('\n')
		if err != nil && line == "" {
			return "", noAnswer()
		}
		return line, nil
	})
	return strings.TrimRight(line, "\r\n"), err
}

// ask prompts and reads a line.
func (in *input) ask(prompt string) (string, error) {
	if in.terminal() {
		fmt.Fprint(in.err, prompt)
	}
	return in.line()
}

// completes reports whether Tab completes words: not on a terminal that
// understands no escape sequence.
func (in *input) completes() bool { return in.terminal() && os.Getenv("TERM") != "dumb" }

// askWord prompts for a word of the list; Tab completes it on a terminal.
func (in *input) askWord(prompt string) (string, error) {
	if !in.completes() {
		return in.ask(prompt)
	}
	fd := int(in.file.Fd())
	old, err := term.MakeRaw(fd)
	if err != nil {
		return in.ask(prompt)
	}
	defer func() { _ = term.Restore(fd, old) }()
	if in.words == nil {
		in.words = term.NewTerminal(struct {
			io.Reader
			io.Writer
		}{in.lines, in.err}, "")
		in.words.AutoCompleteCallback = completeWord
	}
	in.words.SetPrompt(prompt)
	line, err := await(in, in.words.ReadLine)
	if errors.Is(err, io.EOF) { // Ctrl-C and Ctrl-D, which are bytes like others here
		fmt.Fprint(in.err, "\r\n")
		return "", context.Canceled
	}
	return strings.TrimSpace(line), err
}

// completeWord completes as far as only one word fits: Tab never chooses between
// words.
func completeWord(line string, pos int, key rune) (newLine string, newPos int, ok bool) {
	if key != '\t' || pos < 2 || pos != len(line) {
		return "", 0, false
	}
	start := strings.LastIndexByte(line, ' ') + 1
	found := identity.CompleteWord(line[start:])
	if len(found) == 0 {
		return "", 0, false
	}
	shared := found[0]
	for _, word := range found[1:] {
		for !strings.HasPrefix(word, shared) {
			shared = shared[:len(shared)-1]
		}
	}
	whole := line[:start] + shared
	return whole, len(whole), true
}

// secret prompts and reads a line without showing it.
func (in *input) secret(prompt string) ([]byte, error) {
	if !in.terminal() {
		line, err := await(in, func() ([]byte, error) { return in.lines.ReadBytes('\n') })
		if err != nil && len(line) == 0 {
			if errors.Is(err, context.Canceled) {
				return nil, err
			}
			return nil, noAnswer()
		}
		return bytes.TrimRight(line, "\r\n"), nil
	}
	fd := int(in.file.Fd())
	if old, err := term.GetState(fd); err == nil {
		defer func() { _ = term.Restore(fd, old) }() // Ctrl-C must not leave the terminal blind
	}
	fmt.Fprint(in.err, prompt)
	line, err := await(in, func() ([]byte, error) { return term.ReadPassword(fd) })
	switch {
	case errors.Is(err, context.Canceled):
		return nil, err
	case err != nil:
		fmt.Fprintln(in.err)
		return nil, noAnswer()
	}
	fmt.Fprintln(in.err)
	return line, nil
}

// rest reads all of the input, at most limit bytes. On a terminal a line with a
// single dot, or Ctrl-D, ends it.
func (in *input) rest(limit int) (string, error) {
	var b strings.Builder
	for b.Len() <= limit {
		line, err := await(in, func() (string, error) { return in.lines.ReadString('\n') })
		if errors.Is(err, context.Canceled) {
			return "", err
		}
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
// from the terminal, else from standard input. An empty one is said to be empty,
// not wrong.
func (a *app) passphrase(prompt string) ([]byte, error) {
	read := a.passphraseFromFD
	if a.fd < 0 {
		read = func() ([]byte, error) { return a.in.secret(prompt) }
	}
	pass, err := read()
	if err == nil && len(pass) == 0 {
		err = store.ErrEmpty
	}
	return pass, err
}

func (a *app) passphraseFromFD() ([]byte, error) {
	if a.fdRead { // a command that needs several reads them line by line
		line, rest, _ := bytes.Cut(a.fdRest, []byte("\n"))
		a.fdRest = rest
		return bytes.TrimRight(line, "\r"), nil
	}
	f := os.NewFile(uintptr(a.fd), "passphrase")
	if f == nil {
		return nil, usage("the file descriptor of the passphrase is not open", "backchannel unlock --passphrase-fd 3 3<passphrase.txt")
	}
	raw, err := await(a.in, func() ([]byte, error) { return io.ReadAll(io.LimitReader(f, 2*(4*store.MaxPassphrase+2))) })
	if errors.Is(err, context.Canceled) {
		return nil, err
	}
	if err != nil {
		return nil, usage("the file descriptor of the passphrase cannot be read", "backchannel unlock --passphrase-fd 3 3<passphrase.txt")
	}
	line, rest, _ := bytes.Cut(raw, []byte("\n"))
	a.fdRead, a.fdRest = true, rest
	return bytes.TrimRight(line, "\r"), nil
}
