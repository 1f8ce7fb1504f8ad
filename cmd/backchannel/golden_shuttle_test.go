package main

import (
	"regexp"
	"testing"
)

// TestJSONShuttle is TestJSON for what a mediator carries, who is Larch.
func TestJSONShuttle(t *testing.T) {
	t.Parallel()
	larch, alder, other := metPair(t, t.TempDir())
	alder.keep("shuttle-show-none", "", "shuttle", "show")
	alder.keep("error-no-call", "five days\n", "shuttle", "offer", "1")
	alder.keep("shuttle-offer", "They might live with five days.\n", "shuttle", "offer", "1", "--carry")
	larch.until(`"number":\d+,"time"`, "shuttle", "show")
	shown := larch.keep("shuttle-show", "", "shuttle", "show", "1")
	number := regexp.MustCompile(`"number":(\d+),"time"`).FindStringSubmatch(shown)[1]
	larch.keep("error-one-contact", "subject\n", "shuttle", "open", "1", "1", "--until", "48h")
	larch.keep("error-no-shuttle", "", "shuttle", "release", "1")
	invitation := regexp.MustCompile(`BC1:[A-Z2-7]+`).FindString(larch.run("Heron\n", "invite", "new"))
	other.run("pass heron\n", "setup")
	other.serve()
	other.run("pass heron\n", "online")
	other.run(invitation+"\nLarch\n", "invite", "accept")
	larch.until(`"words_ready":true`, "contact", "show", "2")
	larch.keep("shuttle-release", "", "shuttle", "release", "1", number, "--to", "2")
	larch.keep("shuttle-open", "days of transit\n", "shuttle", "open", "1", "2", "--until", "48h")
	alder.until(`"waits_for_your_offer"`, "shuttle", "show")
	other.until(`"waits_for_your_offer"`, "shuttle", "show")
	alder.run("five days\n", "shuttle", "offer", "1")
	other.run("seven days\n", "shuttle", "offer", "1")
	larch.until(`"both_are_sealed_and_wait_for_you"`, "shuttle", "show")
	larch.keep("shuttle-show-mediator", "", "shuttle", "show")
	larch.run("", "shuttle", "release", "1")
	alder.until(`"both_are_open"`, "shuttle", "show")
	alder.keep("shuttle-show-open", "", "shuttle", "show", "1")
	alder.keep("shuttle-drop", "", "shuttle", "drop", "1", "1")
	larch.run("days of rest\n", "shuttle", "open", "1", "2", "--until", "48h")
	larch.keep("error-which-shuttle", "", "shuttle", "drop", "1")
}
