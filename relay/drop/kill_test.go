package drop

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"

	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/onion"
)

// child starts this test binary with a script.
func child(t *testing.T, script string, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, args...)
	cmd.Env = append(os.Environ(), childEnv+"="+script)
	return cmd
}

func childConfig(dir string) Config {
	return Config{Dir: dir, ID: onion.ID{1}, MinFree: 1 << 20, small: true}
}

// childPut puts numbered boxes from a number on, several at once, and says which are
// stored.
func childPut(args []string) error {
	s, err := Open(childConfig(args[0]))
	if err != nil {
		return err
	}
	next, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				mu.Lock()
				n := next
				next++
				mu.Unlock()
				if put(s, n) == drop.Stored {
					fmt.Println(n)
				}
			}
		})
	}
	wg.Wait()
	return nil
}

// TestKillAnywhere kills a drop at random moments: every box that it called stored is
// there afterwards, and whole.
func TestKillAnywhere(t *testing.T) {
	kills := 25
	if testing.Short() {
		kills = 5
	}
	cfg := testConfig(t, nil)
	stored := map[uint64]bool{}
	highest := uint64(0)
	for kill := range kills {
		cmd := child(t, "put", cfg.Dir, strconv.FormatUint(highest+1, 10))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for left := rand.IntN(120); lines.Scan(); left-- {
			n, err := strconv.ParseUint(lines.Text(), 10, 64)
			if err != nil {
				t.Fatalf("kill %d: the child says %q", kill, lines.Text())
			}
			stored[n], highest = true, max(highest, n)
			if left == 0 {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		highest += 4 // that may have been stored and not been said
		s, err := Open(cfg)
		if err != nil {
			t.Fatalf("kill %d: opening: %v", kill, err)
		}
		for n := range stored {
			wantFound(t, s, n)
		}
		if l := s.Load(); l.Boxes < int64(len(stored)) || l.Boxes > int64(len(stored)+4*(kill+1)) {
			t.Errorf("kill %d: %d boxes, %d were called stored", kill, l.Boxes, len(stored))
		}
		mustClose(t, s)
	}
	t.Logf("%d kills, %d boxes", kills, len(stored))
}
