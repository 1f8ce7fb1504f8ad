package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestJSONCharter is TestJSON for channels.
func TestJSONCharter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	larch, alder, _ := metPair(t, dir)
	small, large := filepath.Join(dir, "annex.bin"), filepath.Join(dir, "annexes.bin")
	for path, size := range map[string]int{small: 7, large: 1_000_001} {
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	gauges := "river gauges\nagree a first joint reading\n"
	larch.keep("error-bad-charter", "\n\n", "channel", "open", "1", "--until", "14d")
	larch.keep("error-bad-deadline", gauges, "channel", "open", "1", "--until", "400d")
	larch.keep("channel-open", gauges, "channel", "open", "1", "--until", "14d")
	larch.keep("error-not-agreed", "early\n", "send", "1", "--channel", "2")
	larch.keep("error-draft-waits", "", "channel", "amend", "1", "2", "--until", "20d")
	larch.keep("error-no-such-draft", "", "channel", "accept", "1", "2")
	larch.keep("error-no-channel", "", "channel", "show", "1", "9")
	larch.keep("error-no-charter", "", "channel", "show", "1", "1")
	alder.until(`"their_draft"`, "channel", "show", "1", "2")
	alder.keep("channel-show", "", "channel", "show", "1", "2")
	alder.keep("channel-accept", "", "channel", "accept", "1", "2")
	larch.until(`"state":"open"`, "channel", "show", "1", "2")
	larch.keep("error-same-terms", "", "channel", "amend", "1", "2")
	larch.keep("error-stays-secret", "", "channel", "amend", "1", "2", "--kind", "publishable")
	larch.keep("error-no-files", small+"\n", "file", "send", "1", "--channel", "2", "--as-it-is")
	larch.keep("error-secret-channel", "text\n", "communique", "draft", "1")
	line := regexp.MustCompile(`"number":(\d+)`).FindStringSubmatch(larch.run("", "read", "1", "--channel", "2"))[1]
	larch.keep("error-charter-line", "", "message", "remove", "1", line)
	larch.keep("channel-amend", "", "channel", "amend", "1", "2", "--until", "20d")
	larch.run("", "channel", "amend", "1", "2", "--withdraw")

	alder.run("wells\nwhere to drill\n", "channel", "open", "1", "--until", "2h", "--kind", "publishable", "--receipts", "none", "--route", "relays", "--files", "1")
	larch.until(`"their_draft"`, "channel", "show", "1", "3")
	larch.run("", "channel", "accept", "1", "3")
	larch.keep("error-charter-route", "text\n", "send", "1", "--channel", "3")
	larch.run("", "channel", "amend", "1", "3", "--route", "direct")
	alder.until(`"their_draft"`, "channel", "show", "1", "3")
	alder.run("", "channel", "accept", "1", "3")
	larch.until(`"route":"direct","receipts"`, "channel", "show", "1", "3")
	larch.keep("error-no-receipts", "text\n", "send", "1", "--channel", "3", "--wait")
	larch.keep("error-file-terms", large+"\n", "file", "send", "1", "--channel", "3", "--as-it-is")
	larch.keep("file-send-channel", small+"\n", "file", "send", "1", "--channel", "3", "--as-it-is")
	alder.until(`"waits_for_you`, "file", "list", "1", "--channel", "3")
	alder.keep("file-list-channel", "", "file", "list", "1", "--channel", "3")
	larch.keep("communique-draft-channel", "Both drill here.\n", "communique", "draft", "1", "--channel", "3")
	larch.keep("communique-list-channel", "", "communique", "list", "1", "--channel", "3")

	alder.run("fifth\nno\n", "channel", "open", "1", "--until", "2h")
	larch.until(`"their_draft"`, "channel", "show", "1", "5")
	larch.keep("channel-decline", "", "channel", "decline", "1", "5")
	larch.keep("channel-close", "", "channel", "close", "1", "2")
	larch.keep("error-channel-ended", "late\n", "send", "1", "--channel", "2")
	larch.keep("burn-channel", "Alder desk\n", "burn", "1", "--channel", "2")
	larch.keep("error-channel-burned", "", "read", "1", "--channel", "2")
	larch.keep("channel-list", "", "channel", "list", "1")
}
