package main

import (
	"testing"

	"github.com/backchannel/backchannel/node"
)

func TestEditSettings(t *testing.T) {
	for _, c := range []struct {
		name, before, after string
		want                node.Settings
	}{
		{"a new file", "", "rest = 10\n", node.Settings{Rest: 10}},
		{"no end of line", "# mine", "# mine\nrest = 10\n", node.Settings{Rest: 10}},
		{"comments stay", "# mine\nrest = 5 # short\n\n# end\n", "# mine\nrest = 10 # short\n\n# end\n", node.Settings{Rest: 10}},
		{"a line goes, its comment stays", "rest = 5 # short\nlisten = \":1\"\n", "# short\nlisten = \":1\"\n", node.Settings{Listen: ":1"}},
		{"a line goes", "listen = \":1\"\nrest = 5\n", "listen = \":1\"\n", node.Settings{Listen: ":1"}},
		{"other quotes", "listen = ':1'\r\nrest=5\r\n", "listen = \"127.0.0.1:2\"\r\nrest=5\r\n", node.Settings{Listen: "127.0.0.1:2", Rest: 5}},
		{"nothing to change", "rest   =   5", "rest   =   5", node.Settings{Rest: 5}},
	} {
		got, err := editSettings(c.before, c.want)
		if err != nil || got != c.after {
			t.Errorf("%s: %q (%v), want %q", c.name, got, err, c.after)
		}
	}
	for name, before := range map[string]string{
		"a quoted key": "\"rest\" = 5\n", "a value over lines": "listen = \"\"\"\n:1\"\"\"\nrest = 5\n",
		"unreadable": "rest = ", "unknown": "frob = 1\n",
	} {
		if got, err := editSettings(before, node.Settings{Rest: 10}); err == nil {
			t.Errorf("%s: changed to %q", name, got)
		}
	}
}
