package main

import (
	"path/filepath"
)

// placesOf says where things belong on a system, for a home folder and an
// environment: the XDG rules, and what takes their place on macOS and Windows.
// Nothing is put into a cache or state folder. It reports false if no home folder
// is known.
func placesOf(system, home string, env func(string) string) (paths, bool) {
	if system == "windows" {
		// The vault does not roam: a profile that is copied to a server and back
		// would set it back to an older state.
		roaming, local := env("AppData"), env("LocalAppData")
		if roaming == "" || local == "" {
			return paths{}, false
		}
		return pathsIn(roaming, local, filepath.Join(local, "backchannel", "run")), true
	}
	// The rules want absolute paths, and others to be ignored.
	folder := func(variable string, parts ...string) string {
		if dir := env(variable); filepath.IsAbs(dir) {
			return dir
		}
		if home == "" {
			return ""
		}
		return filepath.Join(append([]string{home}, parts...)...)
	}
	config, data := folder("XDG_CONFIG_HOME", ".config"), folder("XDG_DATA_HOME", ".local", "share")
	if system == "darwin" {
		config = folder("XDG_CONFIG_HOME", "Library", "Application Support")
		data = folder("XDG_DATA_HOME", "Library", "Application Support")
	}
	if config == "" || data == "" {
		return paths{}, false
	}
	run := filepath.Join(data, "backchannel", "run")
	if dir := env("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		run = filepath.Join(dir, "backchannel")
	}
	return pathsIn(config, data, run), true
}

func pathsIn(config, data, run string) paths {
	return paths{
		config: filepath.Join(config, "backchannel", "config.toml"),
		vault:  filepath.Join(data, "backchannel", "vault"),
		socket: filepath.Join(run, "node.sock"),
	}
}
