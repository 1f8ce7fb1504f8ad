package main

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// checkMemory looks at the ways by which what is in memory comes onto a disk.
func (d *doctor) checkMemory() {
	proc := "/proc/self"
	if d.status != nil {
		proc = path.Join("/proc", strconv.Itoa(d.status.PID))
	}
	m := memory{root: "/", proc: proc}
	d.checkCores(m)
	d.checkSwap(m)
	d.checkLocked(m)
}

// memory reads what Linux says of memory, below a root.
type memory struct{ root, proc string }

func (m memory) read(file string) (string, bool) {
	raw, err := os.ReadFile(path.Join(m.root, file))
	return string(raw), err == nil
}

func (d *doctor) checkCores(m memory) {
	limits, ok := m.read(path.Join(m.proc, "limits"))
	line := regexp.MustCompile(`(?m)^Max core file size\s+(\S+)\s+(\S+)`).FindStringSubmatch(limits)
	switch {
	case !ok || line == nil:
		d.note("cores", "", "whether the node may leave a core dump could not be seen")
	case line[1] == "0" && line[2] == "0":
		d.ok("cores", "no core dumps")
	default:
		d.warn("cores", "backchannel node stop; then: backchannel node run", "the node may leave a core dump, with keys in it")
	}
	if pattern, ok := m.read("/proc/sys/kernel/core_pattern"); ok && strings.HasPrefix(pattern, "|") {
		d.note("cores", "", "this system hands crashes to a program (core_pattern); the node asks the kernel to be left out of it")
	}
}

func (d *doctor) checkSwap(m memory) {
	list, ok := m.read("/proc/swaps")
	if !ok {
		d.note("swap", "", "whether there is swap could not be seen")
		return
	}
	var onDisk, open bool
	for _, line := range strings.Split(strings.TrimSpace(list), "\n")[1:] {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(path.Base(fields[0]), "zram") {
			continue // in memory
		}
		onDisk = true
		open = open || fields[1] != "partition" || !m.encrypted(m.device(fields[0]), 4)
	}
	switch {
	case !onDisk:
		d.ok("swap", "no swap on a disk")
	case !open:
		d.ok("swap", "swap is encrypted")
	case m.locked():
		d.ok("swap", "there is swap that is not encrypted; the node is kept out of it (its memory is locked)")
	case m.neverSwapped():
		d.ok("swap", "there is swap that is not encrypted; the node is kept out of it (MemorySwapMax=0)")
	default:
		d.warn("swap", "swapoff -a, or encrypt it; or run the node as docs/deploy/README.md says", "keys may be written to swap that is not seen to be encrypted")
	}
	if state, ok := m.read("/sys/power/state"); ok && onDisk && strings.Contains(state, "disk") {
		d.note("hibernation", "backchannel lock", "hibernation writes all memory to the swap, locked memory too: lock the vault before it")
	}
}

// checkLocked looks whether the node's memory is locked, which it asks for by itself.
func (d *doctor) checkLocked(m memory) {
	status, ok := m.read(path.Join(m.proc, "status"))
	switch {
	case d.status == nil && m.proc == "/proc/self":
		d.note("memlock", "", "whether the node's memory can be locked is seen when it runs")
	case !ok || !strings.Contains(status, "VmLck:"):
		d.note("memlock", "", "whether the node's memory is locked could not be seen")
	case m.locked():
		d.ok("memlock", "the node's memory is locked: the system does not write it to swap")
	default:
		d.note("memlock", "docs/deploy/README.md says how the limit is raised", "the system limits locked memory (%s), so the node's is not locked: what stands under swap is what keeps it off the disk", m.lockLimit())
	}
}

// locked reports whether the process has locked its memory: more than the odd page that
// a library locks for itself.
func (m memory) locked() bool {
	status, _ := m.read(path.Join(m.proc, "status"))
	size := func(field string) int {
		found := regexp.MustCompile(`(?m)^` + field + `:\s+(\d+) kB`).FindStringSubmatch(status)
		if found == nil {
			return 0
		}
		kb, _ := strconv.Atoi(found[1]) // it is digits
		return kb
	}
	return size("VmLck") > 0 && size("VmLck") >= size("VmRSS")
}

// lockLimit is the limit of locked memory in words.
func (m memory) lockLimit() string {
	limits, _ := m.read(path.Join(m.proc, "limits"))
	line := regexp.MustCompile(`(?m)^Max locked memory\s+\S+\s+(\d+)`).FindStringSubmatch(limits)
	if line == nil {
		return "the limit could not be seen"
	}
	bytes, _ := strconv.Atoi(line[1]) // it is digits
	return strconv.Itoa(bytes>>10) + " KiB"
}

// device is the kernel's name of a block device: dm-0 for /dev/mapper/swap.
func (m memory) device(file string) string {
	if to, err := filepath.EvalSymlinks(path.Join(m.root, file)); err == nil {
		file = to
	}
	return path.Base(file)
}

// encrypted reports whether a device, or every one that it lies on, is dm-crypt's.
func (m memory) encrypted(device string, depth int) bool {
	at := path.Join("/sys/class/block", device)
	if id, ok := m.read(path.Join(at, "dm/uuid")); ok && strings.HasPrefix(id, "CRYPT-") {
		return true
	}
	below, err := os.ReadDir(path.Join(m.root, at, "slaves"))
	if err != nil || len(below) == 0 || depth == 0 {
		return false
	}
	for _, b := range below {
		if !m.encrypted(b.Name(), depth-1) {
			return false
		}
	}
	return true
}

// neverSwapped reports whether the control group of the node has no swap.
func (m memory) neverSwapped() bool {
	groups, _ := m.read(path.Join(m.proc, "cgroup"))
	_, group, ok := strings.Cut(groups, "0::")
	if !ok {
		return false
	}
	group, _, _ = strings.Cut(group, "\n")
	limit, ok := m.read(path.Join("/sys/fs/cgroup", group, "memory.swap.max"))
	return ok && strings.TrimSpace(limit) == "0"
}
