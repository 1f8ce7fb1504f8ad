package drop

import (
	"os"
	"testing"
)

// TestKeyThatIsNotOnTheDisk: a key that was written, and not synced, counts as none.
func TestKeyThatIsNotOnTheDisk(t *testing.T) {
	f, err := os.OpenFile(os.DevNull, os.O_RDWR, 0) // takes all, and syncs nothing
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	if err := (&keyFile{f: f}).write(1, make([]byte, keySlotSize)); err == nil {
		t.Error("it is taken for written")
	}
}
