package main

import (
	"path/filepath"
	"testing"
)

func TestPlaces(t *testing.T) {
	type env map[string]string
	const mac = "/Users/e/Library/Application Support/backchannel/"
	for _, c := range []struct {
		name, system, home    string
		env                   env
		config, vault, socket string // empty: nowhere
	}{
		{
			"linux as it comes", "linux", "/home/e",
			env{"XDG_RUNTIME_DIR": "/run/user/1000"},
			"/home/e/.config/backchannel/config.toml", "/home/e/.local/share/backchannel/vault", "/run/user/1000/backchannel/node.sock",
		},
		{
			"without a session", "linux", "/home/e",
			env{},
			"/home/e/.config/backchannel/config.toml", "/home/e/.local/share/backchannel/vault", "/home/e/.local/share/backchannel/run/node.sock",
		},
		{
			"all set", "linux", "/home/e",
			env{"XDG_CONFIG_HOME": "/c", "XDG_DATA_HOME": "/d", "XDG_RUNTIME_DIR": "/r", "XDG_CACHE_HOME": "/x", "XDG_STATE_HOME": "/x"},
			"/c/backchannel/config.toml", "/d/backchannel/vault", "/r/backchannel/node.sock",
		},
		{
			"relative ones are ignored", "linux", "/home/e",
			env{"XDG_CONFIG_HOME": "c", "XDG_DATA_HOME": "./d", "XDG_RUNTIME_DIR": "../r"},
			"/home/e/.config/backchannel/config.toml", "/home/e/.local/share/backchannel/vault", "/home/e/.local/share/backchannel/run/node.sock",
		},
		{"all set and no home", "openbsd", "", env{"XDG_CONFIG_HOME": "/c", "XDG_DATA_HOME": "/d"}, "/c/backchannel/config.toml", "/d/backchannel/vault", "/d/backchannel/run/node.sock"},
		{"no home", "linux", "", env{"XDG_DATA_HOME": "/d"}, "", "", ""},
		{"macos", "darwin", "/Users/e", env{}, mac + "config.toml", mac + "vault", mac + "run/node.sock"},
		{
			"windows", "windows", "C:/Users/e",
			env{"AppData": "C:/Users/e/AppData/Roaming", "LocalAppData": "C:/Users/e/AppData/Local", "XDG_DATA_HOME": "/d"},
			"C:/Users/e/AppData/Roaming/backchannel/config.toml", "C:/Users/e/AppData/Local/backchannel/vault", "C:/Users/e/AppData/Local/backchannel/run/node.sock",
		},
		{"windows without a profile", "windows", "C:/Users/e", env{"AppData": "C:/x"}, "", "", ""},
	} {
		p, ok := placesOf(c.system, c.home, func(name string) string { return c.env[name] })
		if ok != (c.config != "") {
			t.Errorf("%s: found is %v", c.name, ok)
			continue
		}
		for _, pair := range [][2]string{{p.config, c.config}, {p.vault, c.vault}, {p.socket, c.socket}} {
			if filepath.ToSlash(pair[0]) != pair[1] {
				t.Errorf("%s: %q, want %q", c.name, pair[0], pair[1])
			}
		}
	}
}
