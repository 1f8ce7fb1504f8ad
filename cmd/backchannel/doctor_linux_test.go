package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/backchannel/backchannel/node/control"
)

// TestMemory shows the doctor machines that it does not run on.
func TestMemory(t *testing.T) {
	const (
		head     = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
		limits   = "Limit                     Soft Limit           Hard Limit           Units     \nMax core file size        0                    0                    bytes     \n"
		unlimits = "Max core file size        0                    unlimited            bytes     \n"
	)
	type files map[string]string
	type levels map[string]control.Word
	for name, c := range map[string]struct {
		files files
		want  levels // by check
	}{
		"nothing to see":   {files{}, levels{"cores": aside, "swap": aside}},
		"sound":            {files{"proc/9/limits": limits, "proc/swaps": head}, levels{"cores": fine, "swap": fine}},
		"dumps":            {files{"proc/9/limits": unlimits, "proc/swaps": head}, levels{"cores": warn, "swap": fine}},
		"swap in memory":   {files{"proc/9/limits": limits, "proc/swaps": head + "/dev/zram0 partition 1 0 -2\n"}, levels{"cores": fine, "swap": fine}},
		"swap on a disk":   {files{"proc/9/limits": limits, "proc/swaps": head + "/dev/sda2 partition 1 0 -2\n"}, levels{"cores": fine, "swap": warn}},
		"a file as swap":   {files{"proc/9/limits": limits, "proc/swaps": head + "/swapfile file 1 0 -2\n"}, levels{"cores": fine, "swap": warn}},
		"encrypted swap":   {files{"proc/9/limits": limits, "proc/swaps": head + "/dev/dm-1 partition 1 0 -2\n", "sys/class/block/dm-1/dm/uuid": "CRYPT-LUKS2-x"}, levels{"cores": fine, "swap": fine}},
		"a volume on it":   {files{"proc/9/limits": limits, "proc/swaps": head + "/dev/dm-1 partition 1 0 -2\n", "sys/class/block/dm-1/dm/uuid": "LVM-x", "sys/class/block/dm-1/slaves/dm-0/x": "", "sys/class/block/dm-0/dm/uuid": "CRYPT-LUKS2-x"}, levels{"cores": fine, "swap": fine}},
		"a volume on both": {files{"proc/9/limits": limits, "proc/swaps": head + "/dev/dm-1 partition 1 0 -2\n", "sys/class/block/dm-1/dm/uuid": "LVM-x", "sys/class/block/dm-1/slaves/dm-0/x": "", "sys/class/block/dm-1/slaves/sdb/x": "", "sys/class/block/dm-0/dm/uuid": "CRYPT-LUKS2-x"}, levels{"cores": fine, "swap": warn}},
		"kept out of it":   {files{"proc/9/limits": limits, "proc/swaps": head + "/dev/sda2 partition 1 0 -2\n", "proc/9/cgroup": "0::/user/x\n", "sys/fs/cgroup/user/x/memory.swap.max": "0\n"}, levels{"cores": fine, "swap": fine}},
		"locked":           {files{"proc/9/limits": limits, "proc/swaps": head + "/dev/sda2 partition 1 0 -2\n", "proc/9/status": "VmLck:\t  900 kB\nVmRSS:\t  80 kB\n"}, levels{"cores": fine, "swap": fine, "memlock": fine}},
		"a page locked":    {files{"proc/9/limits": limits, "proc/swaps": head + "/dev/sda2 partition 1 0 -2\n", "proc/9/status": "VmLck:\t  4 kB\nVmRSS:\t  80 kB\n"}, levels{"cores": fine, "swap": warn, "memlock": aside}},
		"hibernation":      {files{"proc/9/limits": limits, "proc/swaps": head + "/dev/sda2 partition 1 0 -2\n", "sys/power/state": "freeze mem disk\n"}, levels{"cores": fine, "swap": warn, "hibernation": aside}},
	} {
		root := t.TempDir()
		for path, text := range c.files {
			path = filepath.Join(root, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		d, m := &doctor{}, memory{root: root, proc: "/proc/9"}
		d.checkCores(m)
		d.checkSwap(m)
		d.checkLocked(m)
		got := levels{}
		for _, f := range d.findings {
			got[f.Check] = f.Level
		}
		if _, told := c.want["memlock"]; !told {
			c.want["memlock"] = aside
		}
		for check, level := range c.want {
			if got[check] != level {
				t.Errorf("%s: %s is %q, want %q", name, check, got[check], level)
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: found %v", name, got)
		}
	}
}
