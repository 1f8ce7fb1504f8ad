package main

import (
	"golang.org/x/text/unicode/norm"
)

// mostPassphrases is how many one command asks for: what opens the vault now, and
// one for each of three compartments.
const mostPassphrases = 4

// askSetup asks for the passphrase and for a second one. What is shown does not
// depend on whether there is a second.
func (a *app) askSetup() ([][]byte, error) {
	person := a.fd < 0 && a.in.terminal() && !a.quiet && !a.json
	if person {
		a.note("This machine will hold one vault: your keys, contacts and messages, sealed under\na passphrase. There is no account and no server of ours.\n")
	}
	first, err := a.newPassphrase("Passphrase: ", "Again:      ", vaultWords)
	if err != nil {
		return nil, err
	}
	all := [][]byte{first}
	if person {
		a.note("\nA second passphrase opens another compartment, empty at first, for the day that\nsomebody makes you open the vault. Use it now and then, so that there is\nsomething in it. Nothing on this machine shows whether you set one: the space\nfor it is filled all the same. To go without, press enter twice.")
	}
	second, err := a.typedTwice(a.furtherPassphrase, "Second passphrase: ", "Again:             ")
	if len(second) > 0 {
		all = append(all, second)
	}
	return all, err
}

// typedTwice asks for a passphrase that something is to be sealed with: twice, where
// a person types it.
func (a *app) typedTwice(ask func(string) ([]byte, error), prompt, again string) ([]byte, error) {
	pass, err := ask(prompt)
	if err != nil || a.fd >= 0 || !a.in.terminal() {
		return pass, err
	}
	repeated, err := ask(again)
	defer clear(repeated)
	if err == nil && norm.NFC.String(string(pass)) != norm.NFC.String(string(repeated)) {
		err = usage("the two do not agree; nothing was made or changed", "repeat the command")
	}
	if err != nil {
		clear(pass)
		return nil, err
	}
	return pass, nil
}

// sayLimits says what a person has to act on, because the program cannot.
func (a *app) sayLimits() {
	a.say("Three things that only you can see to:")
	a.say("  1  Go online with the passphrase that opens the most. What it does not open is\n     overwritten while the node is online.")
	a.say("  2  Burning does not reach a copy of this disk that was made before. With the\n     passphrase, all that was burned can be read there, unless there is a key file,\n     too: %s", a.here("backchannel setup --help"))
	a.say("  3  Copies of this disk show when somebody sat at the screen, to about a minute.")
}

func wipe(all [][]byte) {
	for _, b := range all {
		clear(b)
	}
}
