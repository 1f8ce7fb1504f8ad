package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/label"
)

// realCost is set in the environment of a program that takes passphrases at their
// real price, a second each. Most tests have no use for it.
const realCost = "BACKCHANNEL_TEST_REAL_COST"

// laterClock is set in the environment of a node whose clock is ahead by that much.
const laterClock = "BACKCHANNEL_TEST_LATER"

// TestMain makes the real program a command of the scripts and of exec.Command.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"backchannel": func() {
		pace.Eager = true // scripts are many, and none looks at when the vault is written
		timing = channel.Config{KeepAlive: 20 * time.Second, ResendAfter: 15 * time.Second, AnswerTimeout: 10 * time.Second}
		meetingSlots = 5
		if os.Getenv(realCost) == "" {
			cost = store.Cheap
		}
		if d, err := time.ParseDuration(os.Getenv(laterClock)); err == nil {
			wall = func() time.Time { return time.Now().Add(d) }
		}
		main()
	}})
}

// patience is how long a script waits for something before it has failed.
const patience = 80 * time.Second

// TestScripts runs the scripts of testdata/script. Each has homes of its own,
// which are named by the first word after as and fails:
//
//	as HOME args... [< line...]       the program, with the lines as its input
//	fails CODE HOME args... [< …]     the same, and its exit code
//	node HOME                         runs the node in the background until it answers
//	crash HOME, freeze HOME           kills that node; stops it, so that it answers nobody
//	ended HOME CODE       kills that node; waits until it has ended
//	waitfor PATTERN HOME args...      repeats the program until its output fits
//	capture NAME PATTERN              sets a variable from the output
//	swap NAME                         puts one other letter into an invitation
//	expired NAME                      sets a variable to an invitation of yesterday
//	follow N HOME read… then …        read --follow until it has N lines; what stands after
//	                                  then is run before the last
//	watching CODE N HOME args… then … the same with exit code CODE; 130: it is interrupted
//	halve FROM TO, flip FROM TO AT    writes the first half of a file; one with a byte changed
//	later FILE PASSPHRASE             writes a backup of a later version
//	cut FROM TO FILE                  copies a folder and cuts a file of it to half
//	copy FROM TO                      copies a folder
//	newer FROM TO                     copies a home whose vault is then of a later version
//	same A B, empty DIR               compares two folders; wants an empty one
//	tmpfs DIR SIZE, fill FILE         mounts a small disk; writes until a disk is full
//	document FILE                     writes a PDF that names its author, A. Quill
//	private PATH                      looks at modes of a socket and its folder
//	watch                             notes what processes show from here on
//	sweep SECRET...                   looks for secrets in all files and their names, but in
//	                                  the folder desk, and in what watch saw
//	hardened HOME                     wants that node's memory to be dumped for nobody
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"as": scriptAs, "fails": scriptFails, "node": scriptNode, "crash": scriptCrash, "freeze": scriptFreeze, "ended": scriptEnded,
			"waitfor": scriptWaitFor, "capture": scriptCapture, "swap": scriptSwap, "expired": scriptExpired,
			"private": scriptPrivate, "watch": scriptWatch, "sweep": scriptSweep, "hardened": scriptHardened, "tmpfs": scriptTmpfs, "fill": scriptFill, "cut": scriptCut,
			"follow": scriptFollow, "watching": scriptWatching, "same": scriptSame, "empty": scriptEmpty, "copy": scriptCopy, "halve": scriptHalve, "flip": scriptFlip, "later": scriptLater, "document": scriptDocument, "newer": scriptNewer,
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root":
				return os.Getuid() == 0, nil
			default:
				return false, fmt.Errorf("unknown condition %s", cond)
			}
		},
		Setup: func(e *testscript.Env) error {
			for _, name := range []string{"PORT", "PORT2"} {
				port, err := freePort()
				if err != nil {
					return err
				}
				e.Setenv(name, port)
			}
			// Only homes that a script names are used, whatever the machine has.
			for _, name := range []string{"BACKCHANNEL_HOME", "BACKCHANNEL_SOCKET", "BACKCHANNEL_PASSPHRASE_FD"} {
				e.Setenv(name, "")
			}
			e.Setenv("TZ", "UTC")
			networks, err := filepath.Abs(filepath.Join("testdata", "network"))
			if err != nil {
				return err
			}
			e.Setenv("NETWORKS", networks)
			e.Values[stageKey{}] = &stage{nodes: map[string]*running{}}
			return nil
		},
	})
}

// annex is a document of one empty page that names its author.
func annex() []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n")
	var offsets []int
	for i, object := range []string{
		"<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] >>", "<< /Author (A. Quill) /Creator (Ministry Writer 7) >>",
	} {
		offsets = append(offsets, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, object)
	}
	table := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(offsets)+1)
	for _, at := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", at)
	}
	fmt.Fprintf(&b, "trailer\n<< /Root 1 0 R /Info 4 0 R /Size %d >>\nstartxref\n%d\n%%%%EOF\n", len(offsets)+1, table)
	return b.Bytes()
}

func scriptDocument(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), annex(), 0o600))
}

// stage is what belongs to one script.
type stage struct {
	nodes map[string]*running
	seen  *watched
}

type stageKey struct{}

func stageOf(ts *testscript.TestScript) *stage { return ts.Value(stageKey{}).(*stage) }

// running is a node in the background.
type running struct {
	cmd  *exec.Cmd
	out  string // file of its output
	done chan error
}

// program prepares a call of the program for a home. The lines after "<" are its
// input; they are never arguments of a process.
func program(ts *testscript.TestScript, args []string) *exec.Cmd {
	var input string
	for i, arg := range args {
		if arg == "<" {
			input = strings.Join(args[i+1:], "\n") + "\n"
			args = args[:i]
			break
		}
	}
	if len(args) == 0 {
		ts.Fatalf("a home is wanted")
	}
	cmd := exec.Command("backchannel", append([]string{"--home", ts.MkAbs(args[0])}, args[1:]...)...)
	cmd.Dir = ts.Getenv("WORK")
	cmd.Env = environment(ts)
	cmd.Stdin = strings.NewReader(input)
	return cmd
}

// environment is what the program sees: little, and nothing of the machine.
func environment(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "TZ", "BACKCHANNEL_HOME", "BACKCHANNEL_SOCKET", "SYSTEMROOT", "LC_ALL", "BACKCHANNEL_PASSPHRASE_FD", "BACKCHANNEL_PASSPHRASE", realCost, laterClock} {
		if v := ts.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

func scriptAs(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("use fails CODE HOME")
	}
	cmd := program(ts, args)
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	ts.Check(cmd.Run())
}

func scriptFails(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	cmd := program(ts, args[1:])
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	if err := cmd.Run(); exitCode(err) != want {
		ts.Fatalf("exit code %d, want %d (%v)", exitCode(err), want, err)
	}
}

func scriptNode(ts *testscript.TestScript, _ bool, args []string) {
	home := args[0]
	cmd := program(ts, append(args, "node", "run"))
	r := &running{cmd: cmd, out: ts.MkAbs(home + ".node"), done: make(chan error, 1)}
	out, err := os.Create(r.out)
	ts.Check(err)
	cmd.Stdout, cmd.Stderr = out, out
	ts.Check(cmd.Start())
	go func() {
		r.done <- cmd.Wait()
		_ = out.Close()
	}()
	stageOf(ts).nodes[home] = r
	ts.Defer(func() {
		_ = cmd.Process.Kill()
		r.done <- <-r.done
	})
	eventually(ts, func() bool { return program(ts, []string{home, "status"}).Run() == nil })
}

func scriptCrash(ts *testscript.TestScript, _ bool, args []string) {
	r := stageOf(ts).nodes[args[0]]
	ts.Check(r.cmd.Process.Kill())
	r.done <- <-r.done
}

func scriptFreeze(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(exec.Command("kill", "-STOP", strconv.Itoa(stageOf(ts).nodes[args[0]].cmd.Process.Pid)).Run())
}

func scriptEnded(ts *testscript.TestScript, _ bool, args []string) {
	r := stageOf(ts).nodes[args[0]]
	select {
	case err := <-r.done:
		r.done <- err
		if code := r.cmd.ProcessState.ExitCode(); strconv.Itoa(code) != args[1] {
			ts.Fatalf("the node ended with code %d", code)
		}
	case <-time.After(patience):
		ts.Fatalf("the node did not end")
	}
}

// eventually repeats holds until it does, or the script has failed.
func eventually(ts *testscript.TestScript, holds func() bool) {
	wait := 50 * time.Millisecond
	for end := time.Now().Add(patience); !holds(); <-time.After(wait) {
		if time.Now().After(end) {
			ts.Fatalf("it took too long")
		}
		wait = min(wait*3/2, 400*time.Millisecond) // to ask takes a process
	}
}

func scriptWaitFor(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile(args[0])
	var out []byte
	defer func() { fmt.Fprintf(ts.Stdout(), "%s", out) }()
	eventually(ts, func() bool {
		out, _ = program(ts, args[1:]).Output()
		return pattern.Match(out)
	})
}

// scriptFollow starts read --follow, waits until its output has so many lines,
// runs what stands after "then" in between, and interrupts it.
func scriptFollow(ts *testscript.TestScript, _ bool, args []string) {
	watch(ts, append([]string{"0"}, args...))
}

// scriptWatching is scriptFollow for what ends with another exit code.
func scriptWatching(ts *testscript.TestScript, _ bool, args []string) { watch(ts, args) }

func watch(ts *testscript.TestScript, args []string) {
	code, err := strconv.Atoi(args[0])
	ts.Check(err)
	args = args[1:]
	lines, err := strconv.Atoi(args[0])
	ts.Check(err)
	at := 1
	for at < len(args) && args[at] != "then" {
		at++
	}
	cmd := program(ts, args[1:at])
	out, err := os.Create(ts.MkAbs("follow.out"))
	ts.Check(err)
	cmd.Stdout = out
	ts.Check(cmd.Start())
	count := func() int { return bytes.Count([]byte(ts.ReadFile("follow.out")), []byte("\n")) }
	eventually(ts, func() bool { return count() >= max(1, lines-1) }) // it runs
	ts.Check(program(ts, args[at+1:]).Run())
	eventually(ts, func() bool { return count() >= lines })
	if code == 0 || code == 130 {
		ts.Check(cmd.Process.Signal(os.Interrupt))
	}
	err = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != code {
		ts.Fatalf("exit code %d, want %d (%v)", got, code, err)
	}
	ts.Check(out.Close())
	fmt.Fprint(ts.Stdout(), ts.ReadFile("follow.out"))
}

func scriptCapture(ts *testscript.TestScript, _ bool, args []string) {
	m := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if m == nil {
		ts.Fatalf("nothing fits %s", args[1])
	}
	ts.Setenv(args[0], m[len(m)-1])
	// What stands there is looked at again by later lines.
	fmt.Fprint(ts.Stdout(), ts.ReadFile("stdout"))
	fmt.Fprint(ts.Stderr(), ts.ReadFile("stderr"))
}

func scriptSwap(ts *testscript.TestScript, _ bool, args []string) {
	text := []byte(ts.Getenv(args[0]))
	if at := 30; text[at] == 'Q' {
		text[at] = 'R'
	} else {
		text[at] = 'Q'
	}
	ts.Setenv(args[0], string(text))
}

func scriptExpired(ts *testscript.TestScript, _ bool, args []string) {
	place, err := identity.PlaceOf("127.0.0.1:4127")
	ts.Check(err)
	inv, err := identity.NewInvitation(strings.NewReader(strings.Repeat("not random at all", 9)), place, time.Now().Add(-24*time.Hour), false)
	ts.Check(err)
	ts.Setenv(args[0], inv.Text())
}

// scriptSame compares two trees of files by content: nothing was touched.
func scriptSame(ts *testscript.TestScript, neg bool, args []string) {
	a, b := contents(ts, args[0]), contents(ts, args[1])
	if (a == b) == neg {
		ts.Fatalf("the folders %s and %s: same content is %v", args[0], args[1], a == b)
	}
}

func contents(ts *testscript.TestScript, dir string) string {
	var all strings.Builder
	root := ts.MkAbs(dir)
	ts.Check(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "lock" {
			return err
		}
		raw, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path)
		fmt.Fprintf(&all, "%s\n%x\n", name, raw)
		return err
	}))
	return all.String()
}

func scriptCopy(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.CopyFS(ts.MkAbs(args[1]), os.DirFS(ts.MkAbs(args[0]))))
}

// scriptCut copies a folder and shortens one of its files, which a pattern
// names, to half.
func scriptCut(ts *testscript.TestScript, _ bool, args []string) {
	from, to := ts.MkAbs(args[0]), ts.MkAbs(args[1])
	ts.Check(os.RemoveAll(to))
	ts.Check(os.CopyFS(to, os.DirFS(from)))
	found, err := filepath.Glob(filepath.Join(to, filepath.FromSlash(args[2])))
	ts.Check(err)
	if len(found) == 0 {
		ts.Fatalf("no file %s", args[2])
	}
	for _, name := range found {
		info, err := os.Stat(name)
		ts.Check(err)
		ts.Check(os.Truncate(name, info.Size()/2))
	}
}

func scriptEmpty(ts *testscript.TestScript, _ bool, args []string) {
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(entries) != 0 {
		ts.Fatalf("%s is left in %s", entries[0].Name(), args[0])
	}
}

func scriptPrivate(ts *testscript.TestScript, _ bool, args []string) {
	if runtime.GOOS == "windows" {
		return
	}
	socket := ts.MkAbs(args[0])
	for path, want := range map[string]fs.FileMode{socket: fs.ModeSocket | 0o600, filepath.Dir(socket): fs.ModeDir | 0o700} {
		info, err := os.Lstat(path)
		ts.Check(err)
		if info.Mode() != want {
			ts.Fatalf("%s has mode %v, want %v", filepath.Base(path), info.Mode(), want)
		}
	}
}

// scriptTmpfs mounts a small disk, or skips the script where that is not allowed.
func scriptTmpfs(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+args[1]+",mode=700", "tmpfs", dir).CombinedOutput(); err != nil {
		ts.Fatalf("mounting: %v %s", err, out)
	}
	ts.Defer(func() { _ = exec.Command("umount", "-l", dir).Run() })
}

// scriptFill writes a file until the disk is full.
func scriptFill(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	defer func() { _ = f.Close() }()
	for block := make([]byte, 1<<20); len(block) > 0; {
		if n, err := f.Write(block); err != nil || n < len(block) {
			block = block[:len(block)/2]
		}
	}
}

// watched is what processes showed to others on the machine.
type watched struct {
	stop, ended chan struct{}
	shown       map[string]bool
}

// scriptWatch reads the argument lists, environments and names of all processes
// of the program, over and over, where the system shows them.
func scriptWatch(ts *testscript.TestScript, _ bool, _ []string) {
	dir := []byte(ts.Getenv("WORK"))
	w := &watched{stop: make(chan struct{}), ended: make(chan struct{}), shown: map[string]bool{}}
	go func() {
		defer close(w.ended)
		for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
			names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, name := range names {
				raw, err := os.ReadFile(name)
				if err != nil || !bytes.Contains(raw, dir) {
					continue
				}
				w.shown[string(raw)] = true
				for _, part := range []string{"environ", "comm"} {
					if raw, err := os.ReadFile(filepath.Join(filepath.Dir(name), part)); err == nil {
						w.shown[string(raw)] = true
					}
				}
			}
			select {
			case <-w.stop:
				tick.Stop()
				return
			default:
			}
		}
	}()
	ts.Defer(w.end)
	stageOf(ts).seen = w
}

func (w *watched) end() {
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
	<-w.ended
}

func scriptSweep(ts *testscript.TestScript, _ bool, args []string) {
	w := stageOf(ts).seen
	w.end()
	if runtime.GOOS == "linux" && len(w.shown) == 0 {
		ts.Fatalf("no process was seen: this would check nothing")
	}
	files := 0
	for _, secret := range args {
		for shown := range w.shown {
			if strings.Contains(shown, secret) {
				ts.Fatalf("%q stands in a process's arguments or environment", secret)
			}
		}
		ts.Check(filepath.WalkDir(ts.Getenv("WORK"), func(path string, d fs.DirEntry, err error) error {
			if own := filepath.Join(ts.Getenv("WORK"), "desk"); path == own {
				return filepath.SkipDir // what is there is looked at by the script
			}
			if strings.Contains(d.Name(), secret) {
				ts.Fatalf("%q is in the name of %s", secret, path)
			}
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			files++
			raw, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				return nil // the node tidied up meanwhile
			}
			if bytes.Contains(raw, []byte(secret)) {
				ts.Fatalf("%q stands in %s", secret, path)
			}
			return err
		}))
	}
	if files == 0 {
		ts.Fatalf("no file was seen")
	}
}

// scriptHardened looks at the limit for core dumps of a node.
func scriptHardened(ts *testscript.TestScript, _ bool, args []string) {
	if runtime.GOOS != "linux" {
		return
	}
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", stageOf(ts).nodes[args[0]].cmd.Process.Pid))
	ts.Check(err)
	if !regexp.MustCompile(`Max core file size +0 +0 `).Match(limits) {
		ts.Fatalf("the node of %s may leave a core:\n%s", args[0], limits)
	}
}

// scriptNewer copies a home and makes its vault one of a later version.
func scriptNewer(ts *testscript.TestScript, _ bool, args []string) {
	to := ts.MkAbs(args[1])
	ts.Check(os.CopyFS(to, os.DirFS(ts.MkAbs(args[0]))))
	path := filepath.Join(to, "vault", "header")
	raw, err := os.ReadFile(path)
	ts.Check(err)
	raw = raw[:len(raw)-32]
	raw[0]++
	sum := label.Hash(label.StoreCheck, raw)
	ts.Check(os.WriteFile(path, append(raw, sum[:]...), 0o600))
}
