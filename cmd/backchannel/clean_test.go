package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/backchannel/backchannel/node/control"
)

// hostile is text that does something to a terminal, and what is shown instead.
var hostile = []struct{ name, text, shown string }{
	{"a link (OSC 8)", "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\", "␣]8;;http://evil.example␣\\click␣]8;;␣\\"},
	{"the clipboard (OSC 52)", "\x1b]52;c;cm0gLXJm\a", "␣]52;c;cm0gLXJm␣"},
	{"the title", "\x1b]0;you are logged out\a", "␣]0;you are logged out␣"},
	{"a clearing of the screen", "\x1b[2J\x1b[H", "␣[2J␣[H"},
	{"C1 controls", "\u009b2J \u009d0;x\u009c \u0085 \u0090", "␣2J ␣0;x␣ ␣ ␣"},
	{"bytes of C1 that are no UTF-8", "a\x9b2Jb", "a\ufffd2Jb"},
	{"overrides of direction", "\u202egnp.exe\u202c \u202dx\u202a\u202b", "␣gnp.exe␣ ␣x␣␣"},
	{"isolates of direction", "\u2066x\u2069 \u2067y\u2069 \u2068z\u2069", "␣x␣ ␣y␣ ␣z␣"},
	{"marks of direction", "\u200e\u200f\u061c", "␣␣␣"},
	{"zero width", "a\u200bb\u2060c\ufeffd\u00ade", "a␣b␣c␣d␣e"},
	{"tags and private characters", "\U000e0041\ue000", "␣␣"},
	{"separators of lines", "a\u2028b\u2029c", "a␣b␣c"},
	{"backspaces and a lost return", "secret\b\b\b\rpublic", "secret␣␣␣public"},
	{"bells, NUL and DEL", "\a\x00\x7f", "␣␣␣"},
}

// harmless is text that is shown as it is.
var harmless = []string{
	"Two is fine. Ten days' notice is long.\n\tSeven?",
	"نلتقي يوم الثلاثاء",        // Arabic
	"می\u200cخواهم که بیایید",   // Persian, with a joiner of zero width
	"क्\u200dष",                 // Hindi, with a joiner
	"两次可以。",                     // Chinese
	"e\u0301, o\u0308, a\u0323", // combining
	"👩\u200d🚀 🏳\ufe0f\u200d🌈",   // emoji, with joiners and variation selectors
	"שלום",                      // Hebrew
}

func TestCleanShowsWhatSteers(t *testing.T) {
	for _, h := range hostile {
		if got := clean(h.text); got != h.shown {
			t.Errorf("%s: shown as %q, want %q", h.name, got, h.shown)
		}
	}
	for _, text := range harmless {
		if got := clean(text); got != text {
			t.Errorf("%q is shown as %q", text, got)
		}
	}
}

func TestCleanLineStaysOneLine(t *testing.T) {
	if got := cleanLine("a\nb\tc\r\nd"); got != "a b c d" {
		t.Errorf("got %q", got)
	}
	if got := cleanLine(strings.Repeat("女", 80)); got != strings.Repeat("女", 80) {
		t.Errorf("80 characters were cut: %q", got)
	}
	for _, long := range []string{strings.Repeat("x", 1<<20), strings.Repeat("\u202e", 1<<20), strings.Repeat("女\n", 1<<19), strings.Repeat("\xff", 1<<20)} {
		began := time.Now()
		got := cleanLine(long)
		if n := utf8.RuneCountInString(got); n != 80 || !strings.HasSuffix(got, "…") || strings.Contains(got, "\n") {
			t.Errorf("a name of %d bytes is shown with %d characters", len(long), n)
		}
		if spent := time.Since(began); spent > 2*time.Second {
			t.Errorf("a name of %d bytes took %v", len(long), spent)
		}
	}
}

// FuzzClean wants nothing that steers, nothing harmless lost, and the same when
// it is cleaned twice.
func FuzzClean(f *testing.F) {
	for _, h := range hostile {
		f.Add(h.text)
	}
	for _, text := range harmless {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := clean(text)
		for _, r := range got {
			if steers(r) && r != '\n' && r != '\t' && !joiner(r) {
				t.Fatalf("%q is shown as %q, with %U in it", text, got, r)
			}
		}
		if clean(got) != got {
			t.Fatalf("%q changes when it is cleaned again", got)
		}
		kept := func(s string) string {
			return strings.Map(func(r rune) rune {
				if unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r) {
					return r
				}
				return -1
			}, s)
		}
		if kept(text) != kept(got) {
			t.Fatalf("%q lost letters: %q", text, got)
		}
		if line := cleanLine(text); strings.ContainsAny(line, "\n\t\r\x1b") || utf8.RuneCountInString(line) > 80 {
			t.Fatalf("%q is not one short line: %q", text, line)
		}
	})
}

// FuzzWriteJSON wants one line that is safe to look at, and the text back.
func FuzzWriteJSON(f *testing.F) {
	for _, h := range hostile {
		f.Add(h.text)
	}
	for _, text := range harmless {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var b bytes.Buffer
		writeJSON(&b, control.MessageAnswer{V: 1, Message: control.Message{Text: text}})
		line, whole := strings.CutSuffix(b.String(), "\n")
		if !whole || strings.Contains(line, "\n") {
			t.Fatalf("not one line: %q", b.String())
		}
		for _, r := range line {
			if steers(r) {
				t.Fatalf("%U stands in %q", r, line)
			}
		}
		var back control.MessageAnswer
		if err := json.Unmarshal([]byte(line), &back); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if want := strings.ToValidUTF8(text, "\ufffd"); utf8.ValidString(text) && back.Message.Text != want {
			t.Fatalf("%q came back as %q", text, back.Message.Text)
		}
	})
}

// TestMessageCannotPoseAsAnother prints texts that try to look like lines of
// others.
func TestMessageCannotPoseAsAnother(t *testing.T) {
	var out bytes.Buffer
	a := &app{out: &out}
	a.printMessage("Larch\nyou", control.Message{Seq: 3, Direction: "in", Time: "2026-11-07T11:02:00Z", Text: "one\n   4  11:03  you: two\r   5  11:04  you: three"})
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[1], strings.Repeat(" ", 14)) || strings.Contains(out.String(), "\r") {
		t.Errorf("printed as %q", lines)
	}
}

func TestWarnings(t *testing.T) {
	for _, c := range []struct {
		name    string
		contact control.Contact
		want    []string
	}{
		{"nothing", control.Contact{Number: 1}, nil},
		{"used twice", control.Contact{UsedTwice: true}, []string{"USED TWICE"}},
		{"paused", control.Contact{Number: 7, Paused: true}, []string{"backchannel contact verify 7, or: backchannel contact resume 7"}},
		{"paused there", control.Contact{Paused: true, OwnConsent: true}, []string{"until they say to go on"}},
		{"full window", control.Contact{WindowFull: true}, []string{"200 messages are not confirmed"}},
		{"clock ahead", control.Contact{ClockOff: 3 * 3600}, []string{"their clock is 180 minutes ahead of yours: one of the two is wrong"}},
		{"clock behind", control.Contact{ClockOff: -150 * 60}, []string{"their clock is 150 minutes behind yours"}},
		{"other relays", control.Contact{OtherRelays: true}, []string{"see different relays: one of you may be shown a false network. Compare by voice what both read: backchannel network show"}},
		{"two at once", control.Contact{UsedTwice: true, ClockOff: 7200}, []string{"USED TWICE", "120 minutes"}},
	} {
		got := warnings(c.contact)
		if len(got) != len(c.want) {
			t.Errorf("%s: %q", c.name, got)
			continue
		}
		for i := range got {
			if !strings.Contains(got[i], c.want[i]) {
				t.Errorf("%s: %q, want %q in it", c.name, got[i], c.want[i])
			}
		}
	}
}

func TestHintsNameTheHome(t *testing.T) {
	t.Setenv("BACKCHANNEL_HOME", "")
	for home, want := range map[string]string{
		"":          "backchannel lock; backchannel online",
		"/tmp/x1":   "backchannel --home /tmp/x1 lock; backchannel --home /tmp/x1 online",
		"a b":       "backchannel --home 'a b' lock; backchannel --home 'a b' online",
		"o'clock":   `backchannel --home 'o'\''clock' lock; backchannel --home 'o'\''clock' online`,
		"$(reboot)": "backchannel --home '$(reboot)' lock; backchannel --home '$(reboot)' online",
	} {
		if got := (&app{home: home}).here("backchannel lock; backchannel online"); got != want {
			t.Errorf("%q: %s", home, got)
		}
	}
	if got := (&app{home: "/tmp/x1"}).here("choose another: backchannel --home DIR setup"); got != "choose another: backchannel --home DIR setup" {
		t.Errorf("two homes: %s", got)
	}
	t.Setenv("BACKCHANNEL_HOME", "/tmp/x1")
	if got := (&app{home: "/tmp/x1"}).here("backchannel lock"); got != "backchannel lock" {
		t.Errorf("a home of the environment is repeated: %s", got)
	}
}

func TestTabNeverChooses(t *testing.T) {
	for typed, want := range map[string]string{
		"bet": "bet", // betray, better, between
		"be":  "be", "betr": "betray", "BETW": "between", "zzz": "", "b": "", "": "", "echo samp": "echo sample", "aban": "abandon",
	} {
		got, pos, ok := completeWord(typed, len(typed), '\t')
		if got != want || ok != (want != "") || pos != len(want) {
			t.Errorf("%q is completed to %q, %d, %v", typed, got, pos, ok)
		}
	}
	if _, _, ok := completeWord("betr", 4, 'a'); ok {
		t.Error("a letter completes")
	}
	if got, ok := findWords("Betray  ECHO samp", 3); !ok || strings.Join(got, " ") != "betray echo sample" {
		t.Errorf("words in one line: %q, %v", got, ok)
	}
	if got, ok := findWords("betray ecco sample", 3); ok || len(got) != 1 {
		t.Errorf("a line with a typing error: %q, %v", got, ok)
	}
	if _, ok := findWords("betray echo", 1); ok {
		t.Error("more words than asked for are taken")
	}
}

func TestStatus(t *testing.T) {
	hostileName := control.Contact{Number: 1, Name: "\x1b[2JLarch", Stage: "met", Verified: "not verified", ClockOff: 7200, Waiting: 2}
	for _, c := range []struct {
		status control.StatusAnswer
		want   []string
	}{
		{control.StatusAnswer{State: "locked", PID: 7}, []string{"(process 7), locked. Nothing is received until: backchannel online"}},
		{control.StatusAnswer{State: "locked", Failed: "storing: input/output error"}, []string{"It locked by itself: storing: input/output error."}},
		{
			control.StatusAnswer{State: "locked", Cover: true, RelayNetwork: &control.RelayNetwork{Name: "alpine", State: "running", Guard: "192.0.2.9:4129"}},
			[]string{"Nothing is received until: backchannel online", "Relay network alpine:", "It sends its guard as many packets as when it is, all of them\ncover, and receives nothing."},
		},
		{
			control.StatusAnswer{State: "open", Cover: true, RelayNetwork: &control.RelayNetwork{Name: "alpine", State: "reaching its guard"}},
			[]string{"nothing of yours is sent, until: backchannel online", "It is not online, and receives nothing."},
		},
		{
			control.StatusAnswer{State: "open", Online: true, RelayNetwork: &control.RelayNetwork{Name: "alpine", State: "running", Guard: "192.0.2.9:4129", Others: true}},
			[]string{"! A contact's machine sees other relays than yours", "which contact        backchannel status", "if you see fewer     backchannel route avoid 192.0.2.9:4129"},
		},
		{control.StatusAnswer{State: "open"}, []string{"It is offline. Nothing is written, sent or received until: backchannel online"}},
		{control.StatusAnswer{State: "resting"}, []string{"receives; its screens are locked after a rest: backchannel online"}},
		{control.StatusAnswer{State: "open", Online: true}, []string{"It does not listen"}},
		{control.StatusAnswer{State: "open", Online: true, Listening: true, Address: "192.0.2.7:4127"}, []string{"open; its screens lock at", "hands out 192.0.2.7:4127", "No contacts yet"}},
		{control.StatusAnswer{State: "open", Online: true, DiskFull: true}, []string{"THE DISK IS FULL. Nothing was lost."}},
		{
			control.StatusAnswer{State: "open", Contacts: []control.Contact{hostileName}},
			[]string{"  1  ␣[2JLarch", "not verified · 2 messages not confirmed", "     ! their clock is 120 minutes ahead of yours"},
		},
	} {
		var out bytes.Buffer
		(&app{out: &out}).printStatus(c.status)
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q, want %q in it", c.status.State, out.String(), want)
			}
		}
	}
}

// TestLeftIsNamed shows a path that a burning could not delete, harmlessly.
func TestLeftIsNamed(t *testing.T) {
	var out bytes.Buffer
	a := &app{out: &out}
	a.sayLeft(control.BurnAnswer{Left: []string{"/media/stick/.0123.part", "/media/\x1b[2Jx/.0123.part"}})
	if got := out.String(); !strings.Contains(got, "delete it yourself: /media/stick/.0123.part\n") || strings.Contains(got, "\x1b") {
		t.Errorf("it says %q", got)
	}
}
