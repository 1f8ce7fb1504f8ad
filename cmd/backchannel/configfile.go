package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/control"
)

// settings reads config.toml; a missing file is the zero Settings.
func (p paths) settings() (node.Settings, error) {
	text, err := p.configText()
	if err != nil {
		return node.Settings{}, err
	}
	s, err := parseSettings(text)
	if err != nil {
		return s, err
	}
	return s, checkSettings(s)
}

// maxConfig bounds what is read of config.toml, in bytes.
const maxConfig = 64 << 10

func (p paths) configText() (string, error) {
	info, err := os.Stat(p.config)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil || info.Size() > maxConfig {
		return "", badConfig("config.toml cannot be read")
	}
	raw, err := os.ReadFile(p.config)
	if err != nil {
		return "", badConfig("config.toml cannot be read")
	}
	return string(raw), nil
}

func badConfig(message string) error {
	return &control.Error{Code: "bad_config", Exit: control.ExitFailed, Message: message, Hint: "mend or delete it, then: backchannel node listen"}
}

func parseSettings(text string) (node.Settings, error) {
	var s node.Settings
	meta, err := toml.Decode(text, &s)
	switch {
	case err != nil:
		return s, badConfig("config.toml cannot be read")
	case len(meta.Undecoded()) > 0:
		return s, &control.Error{Code: "bad_config", Exit: control.ExitFailed, Message: "config.toml holds a setting that this version does not know: " + clean(meta.Undecoded()[0].String()), Hint: "delete that line, then repeat the command"}
	}
	return s, nil
}

// write changes the lines of config.toml that say something else than s, and
// leaves the others as they are. The file is replaced whole.
func (p paths) write(s node.Settings) error {
	text, err := p.configText()
	if err != nil {
		return err
	}
	if text, err = editSettings(text, s); err != nil {
		return err
	}
	return p.replace(text)
}

// editSettings puts s into the text of a config.toml: line by line, so that what a
// person wrote around them stays.
func editSettings(text string, s node.Settings) (string, error) {
	was, err := parseSettings(text)
	if err != nil {
		return "", err
	}
	for _, k := range settingsTable() {
		if value := k.get(s); value != k.get(was) {
			text = editLine(text, k.key, value, k.usual != "")
		}
	}
	if got, err := parseSettings(text); err != nil || !reflect.DeepEqual(got, s) {
		return "", &control.Error{
			Code: "bad_config", Exit: control.ExitFailed, Message: "config.toml is written in a way that this command cannot change; nothing was changed",
			Hint: "change it in an editor, then: backchannel config list",
		}
	}
	return text, nil
}

// editLine replaces the value in the line of a key, takes the line out if there is
// no value, or adds a line at the end. A comment behind the value stays.
func editLine(text, key, value string, bare bool) string {
	if !bare && value != "" {
		value = strconv.Quote(value) // no setting has a character that TOML quotes otherwise
	}
	line := regexp.MustCompile(`(?m)^([ \t]*` + key + `[ \t]*=[ \t]*)("[^"\n]*"|'[^'\n]*'|\d+)([ \t]*)(#.*)?(\r?\n|\z)`)
	at := line.FindStringSubmatchIndex(text)
	switch {
	case at == nil && value == "":
		return text
	case at == nil:
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		return text + key + " = " + value + "\n"
	case value != "":
		return text[:at[4]] + value + text[at[5]:]
	case at[8] >= 0:
		return text[:at[0]] + text[at[8]:]
	default:
		return text[:at[0]] + text[at[1]:]
	}
}

// replace writes the file beside its place and moves it there.
func (p paths) replace(text string) error {
	failed := func(err error) error {
		var pathError *fs.PathError
		reason := "input or output error"
		if errors.As(err, &pathError) {
			reason = pathError.Err.Error()
		}
		return &control.Error{Code: "no_config", Exit: control.ExitFailed, Message: "writing config.toml: " + reason, Hint: "check that the folder can be written"}
	}
	if err := os.MkdirAll(filepath.Dir(p.config), 0o700); err != nil {
		return failed(err)
	}
	f, err := os.CreateTemp(filepath.Dir(p.config), ".config-*")
	if err != nil {
		return failed(err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), p.config)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return failed(err)
	}
	return nil
}
