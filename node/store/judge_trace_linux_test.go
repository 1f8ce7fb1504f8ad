package store

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/protocol/vault"
)

func init() { scripts["judge"] = childJudge }

// childJudge plays the judge's script without looking: args are the folder, the
// number of deeper levels and a seed.
func childJudge(args []string) error {
	deeper, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	seed, err := strconv.ParseUint(args[2], 10, 64)
	if err != nil {
		return err
	}
	playVisible(childFailer{}, judgeConfig(args[0]), deeper, seed, true)
	fmt.Println("played")
	return nil
}

// childFailer ends a child that fails.
type childFailer struct{}

func (childFailer) Helper()                           {}
func (childFailer) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (childFailer) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// TestJudgeTraces plays the judge's script in processes of which every system call
// that writes, makes, cuts, renames, removes or syncs a file is written down, with
// its path and size, wherever the file is. Processes with and without deeper levels
// do the same, as often.
func TestJudgeTraces(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	want := traced(t, strace, 0, 0)
	if len(want) < 20 {
		t.Fatalf("only %d kinds of calls were seen: this would check nothing", len(want))
	}
	runs := 1
	if *long {
		runs = 20
	}
	calls := 0
	for _, n := range want {
		calls += n
	}
	for i := range runs {
		deeper := vault.MaxLevels - 1 - i%vault.MaxLevels
		if got := traced(t, strace, deeper, i+1); !maps.Equal(got, want) {
			t.Errorf("%d deeper levels: %s", deeper, difference(got, want))
		}
	}
	if t.Failed() {
		return
	}
	t.Logf("%d processes make the same %d calls of %d kinds", runs+1, calls, len(want))
}

// difference lists the calls that are made more or less often.
func difference(got, want map[string]int) string {
	var b strings.Builder
	for call, n := range got {
		if want[call] != n {
			fmt.Fprintf(&b, "\n%s: %d times, want %d", call, n, want[call])
		}
	}
	for call, n := range want {
		if got[call] == 0 {
			fmt.Fprintf(&b, "\n%s: never, want %d", call, n)
		}
	}
	return b.String()
}

const traceCalls = "openat,open,creat,write,writev,pwrite64,pwritev,pwritev2,ftruncate,truncate,fallocate,rename,renameat," +
	"renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat,symlink,symlinkat,fsync,fdatasync,sync_file_range,msync,utimensat,fchmod,fchmodat,setxattr"

// traced plays in a process of its own and counts its calls.
func traced(t *testing.T, strace string, deeper, seed int) map[string]int {
	t.Helper()
	dir, out := t.TempDir(), t.TempDir()
	plain := child(t, "judge", dir, strconv.Itoa(deeper), strconv.Itoa(seed))
	args := []string{"-ff", "-y", "-qq", "-s", "0", "--seccomp-bpf", "-f", "-o", filepath.Join(out, "t"), "-e", "trace=" + traceCalls, "--"}
	cmd := exec.Command(strace, append(args, plain.Args...)...)
	cmd.Env = plain.Env
	raw, err := cmd.Output()
	if err != nil && len(raw) == 0 {
		t.Skip("processes cannot be traced here")
	}
	if err != nil || !strings.Contains(string(raw), "played") {
		t.Fatalf("%v: %s", err, raw)
	}
	threads, err := os.ReadDir(out)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, thread := range threads {
		b, err := os.ReadFile(filepath.Join(out, thread.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if call := callOf(line, dir); call != "" {
				counts[call]++
			}
		}
	}
	return counts
}

var (
	callPattern = regexp.MustCompile(`^(\w+)\((.*)\)\s+= (-?\d+)`)
	addresses   = regexp.MustCompile(`0x[0-9a-f]+`)
	descriptors = regexp.MustCompile(`\b\d+(<[^>]*>)`)
)

// callOf is a call without what differs from run to run: numbers of descriptors,
// addresses, and sizes of tables, in which checksums have a length that chance
// decides. What only reads and what goes to no file is left out.
func callOf(line, dir string) string {
	m := callPattern.FindStringSubmatch(line)
	if m == nil {
		return ""
	}
	name, args := m[1], strings.ReplaceAll(m[2], dir, "")
	if strings.HasPrefix(name, "open") && !strings.Contains(args, "O_CREAT") && !strings.Contains(args, "O_WRONLY") && !strings.Contains(args, "O_RDWR") {
		return ""
	}
	if strings.Contains(args, "<pipe:") || strings.Contains(args, "<anon_inode:") {
		return ""
	}
	args = descriptors.ReplaceAllString(addresses.ReplaceAllString(args, "address"), "$1")
	if strings.Contains(args, ".sst") || name == "msync" {
		args = regexp.MustCompile(`\d{4,}`).ReplaceAllStringFunc(args, func(s string) string {
			n, err := strconv.Atoi(s)
			if err != nil || strings.HasPrefix(s, "0") {
				return s // the number of a table
			}
			return fmt.Sprint(n / 4096)
		})
	}
	return name + "(" + args + ")"
}
