package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"
)

// TestDestroyKey destroys the key under a process that has the store open. From
// then on no passphrase opens what is left, not even with the files as they were.
func TestDestroyKey(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	mustCreate(t, cfg)
	s := mustLook(t, cfg, testPass)
	if got := Holder(cfg.Dir); got != os.Getpid() {
		t.Errorf("the holder is %d, want this process", got)
	}
	before := contents(t, cfg.Dir)
	if err := DestroyKey(cfg.Dir); err != nil {
		t.Fatal(err)
	}
	after := contents(t, cfg.Dir)
	for _, name := range []string{"header", "counter.0", "counter.1"} {
		if len(after[name]) != len(before[name]) || bytes.Contains(after[name], before[name][5:37]) {
			t.Errorf("%s is not overwritten in place", name)
		}
	}
	mustClose(t, s)
	if got := Holder(cfg.Dir); got != 0 {
		t.Errorf("the holder is %d after the close", got)
	}
	if _, err := Open(cfg, testPass); !errors.Is(err, ErrDamaged) {
		t.Errorf("opening gives %v, want ErrDamaged", err)
	}
	if err := errors.Join(Remove(cfg.Dir), DestroyKey(cfg.Dir), Remove(cfg.Dir)); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(cfg.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is left: %v", err)
	}
	mustCreate(t, cfg)
}

// TestCloseAfterRemove closes a store whose folder was removed, in a process of its
// own, because Badger's goroutines cannot be stopped then.
func TestCloseAfterRemove(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	mustCreate(t, cfg)
	if out, err := runChild(t, "destroy", cfg.Dir); err != nil || out != "closed\n" {
		t.Errorf("%q, error %v", out, err)
	}
	if _, err := os.Lstat(cfg.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is there again: %v", err)
	}
}

func init() { scripts["destroy"] = childDestroy }

// childDestroy destroys a store that it has open.
func childDestroy(args []string) error {
	s, err := openOnline(childConfig(args[0]))
	if err != nil {
		return err
	}
	if err := errors.Join(commit(s, put(0, numbered(0, 80))), DestroyKey(args[0])); err != nil {
		return err
	}
	if err := s.Tick(); !errors.Is(err, ErrMissing) {
		return fmt.Errorf("a tick without the key gives %w, want ErrMissing", err)
	}
	if err := Remove(args[0]); err != nil {
		return err
	}
	if err := s.Tick(); !errors.Is(err, ErrMissing) {
		return fmt.Errorf("a tick gives %w, want ErrMissing", err)
	}
	if err := s.Close(); err == nil {
		return errors.New("closing says nothing")
	}
	fmt.Println("closed")
	return nil
}

