package main

import (
	"regexp"
	"testing"
)

// TestJSONIntroduction is TestJSON for introductions.
func TestJSONIntroduction(t *testing.T) {
	t.Parallel()
	finch, larch, _ := metPair(t, t.TempDir())
	heron := goldenHome{t, t.TempDir()}
	heron.run("pass heron\n", "setup")
	heron.serve()
	heron.run("pass heron\n", "online")
	invitation := regexp.MustCompile(`BC1:[A-Z2-7]+`).FindString(finch.run("Heron\n", "invite", "new"))
	heron.run(invitation+"\nFinch\n", "invite", "accept")
	heron.until(`"words_ready":true`, "contact", "show", "1")
	const reads = "a colleague upstream\na colleague on the other bank\n"
	finch.keep("error-same-contact", reads, "contact", "introduce", "1", "1")
	finch.keep("error-introduction-text", "\n\n", "contact", "introduce", "1", "2")
	larch.keep("error-no-introduction", "", "contact", "decline", "1")
	finch.keep("contact-introduce", reads, "contact", "introduce", "1", "2")
	finch.run(reads, "contact", "introduce", "1", "2")
	for _, g := range []goldenHome{larch, heron} {
		g.until(`"number":2,"state":"waits_for_your_answer"`, "contact", "introductions")
	}
	heron.keep("error-which-introduction", "", "contact", "decline", "1")
	heron.keep("contact-decline", "", "contact", "decline", "1", "1")
	heron.keep("contact-accept", "Somebody\n", "contact", "accept", "1")
	heron.keep("error-introduction-over", "", "contact", "decline", "1", "2")
	heron.keep("contact-introductions", "", "contact", "introductions")
	larch.run("", "contact", "decline", "1", "2")
	larch.run("", "contact", "decline", "1", "1")
	finch.until(`"came_to_nothing".*"came_to_nothing"`, "contact", "introductions")
	finch.keep("contact-introductions-made", "", "contact", "introductions")
}
