package main

import "testing"

// TestJSONSounding is TestJSON for soundings.
func TestJSONSounding(t *testing.T) {
	t.Parallel()
	larch, alder, _ := metPair(t, t.TempDir())
	larch.keep("sounding-show-none", "", "sounding", "show", "1")
	larch.keep("error-bad-topic", "gauges\nGauges\n", "sounding", "new", "1", "--at", "48h")
	larch.keep("sounding-new", "Embassy reopening\ngauges\n", "sounding", "new", "1", "--at", "48h")
	larch.keep("error-sounding-named", "dams\n", "sounding", "new", "1")
	alder.until(`"state":"open"`, "sounding", "show", "1")
	alder.keep("sounding-show", "", "sounding", "show", "1")
	larch.keep("sounding-list", "", "sounding", "list")
	larch.keep("sounding-drop", "", "sounding", "drop", "1")
	larch.keep("error-no-sounding", "", "sounding", "drop", "1")
}
