package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/control"
)

// diffAnswer is how one version of a text differs from another.
type diffAnswer struct {
	V    int        `json:"v"`
	From uint32     `json:"from"` // 0: from nothing
	To   uint32     `json:"to"`
	Diff []diffLine `json:"lines"`
}

// A diffLine is a line that both have, or one of them.
type diffLine struct {
	Change control.Word `json:"change"` // "same", "gone" or "new"
	Text   string       `json:"text"`
}

func (a *app) communiqueDiffCommand() *cobra.Command {
	var number uint32
	c := &cobra.Command{
		Use:   "diff [CONTACT] [FROM TO]",
		Short: "Show a version, line by line against the one before it",
		Long: `Show how one version differs from another, line by line. Without versions it
is the latest against the one before it. What is shown is computed here, from
what was received: nobody's word about what was changed is taken.`,
		Example: "  backchannel communique diff 1\n  backchannel communique diff 1 2 5",
		Args:    cobra.MatchAll(cobra.MaximumNArgs(3), twoVersions),
		RunE: func(cmd *cobra.Command, args []string) error {
			var from, to uint64
			if len(args) == 3 {
				var err, err2 error
				from, err = strconv.ParseUint(strings.TrimPrefix(args[1], "v"), 10, 32)
				to, err2 = strconv.ParseUint(strings.TrimPrefix(args[2], "v"), 10, 32)
				if err != nil || err2 != nil {
					return usage("versions are numbers, as communique list shows them", "backchannel communique list"+shortArg(args[0]))
				}
			}
			ans, err := a.communiques(cmd, args, number)
			if err != nil {
				return err
			}
			return a.diff(ans, uint32(from), uint32(to))
		},
	}
	channelFlag(c, &number)
	return c
}

// twoVersions wants both versions or none.
func twoVersions(_ *cobra.Command, args []string) error {
	if len(args) == 2 {
		return usage("a difference is between two versions", "backchannel communique diff --help")
	}
	return nil
}

func (a *app) diff(ans control.CommuniqueAnswer, from, to uint32) error {
	texts := map[uint32]string{0: ""}
	for _, d := range ans.Drafts {
		texts[d.Version] = d.Text
	}
	if to == 0 && len(ans.Drafts) > 0 {
		to = ans.Drafts[len(ans.Drafts)-1].Version
		if len(ans.Drafts) > 1 {
			from = ans.Drafts[len(ans.Drafts)-2].Version
		}
	}
	_, known := texts[from]
	if _, ok := texts[to]; !ok || !known || to == 0 {
		return channel.ErrNoDraft
	}
	out := diffAnswer{control.Version, from, to, diffLines(texts[from], texts[to])}
	return a.answer(out, func() {
		for _, l := range out.Diff {
			mark := map[control.Word]string{"same": "    ", "gone": "  - ", "new": "  + "}[l.Change]
			a.sayFolded(4, "%s%s", mark, clean(l.Text))
		}
	})
}

// mostCompared bounds the work of a comparison. Only a text of thousands of lines
// comes near; of such two it is only said that the one took the other's place.
const mostCompared = 4 << 20

// diffLines compares two texts by the longest list of lines that both have.
func diffLines(from, to string) (diff []diffLine) {
	a, b := splitLines(from), splitLines(to)
	if len(a)*len(b) > mostCompared {
		return append(changed("gone", a), changed("new", b)...)
	}
	longest := make([][]uint16, len(a)+1)
	for i := range longest {
		longest[i] = make([]uint16, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if longest[i][j] = max(longest[i+1][j], longest[i][j+1]); a[i] == b[j] {
				longest[i][j] = longest[i+1][j+1] + 1
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			diff = append(diff, diffLine{"same", a[i]})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && longest[i+1][j] >= longest[i][j+1]:
			diff = append(diff, diffLine{"gone", a[i]})
			i++
		default:
			diff = append(diff, diffLine{"new", b[j]})
			j++
		}
	}
	return diff
}

func changed(how control.Word, lines []string) (diff []diffLine) {
	for _, l := range lines {
		diff = append(diff, diffLine{how, l})
	}
	return diff
}

func splitLines(text string) (lines []string) {
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	return lines
}
