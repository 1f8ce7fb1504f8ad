package main

import (
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/control"
	"github.com/backchannel/backchannel/node/p2p"
	"github.com/backchannel/backchannel/protocol/identity"
)

// Bounds of the settings that are numbers.
const (
	mostRest, usualRest = 120, 15 // minutes
)

// A setting is one key of config.toml.
type setting struct {
	key, what string
	usual     string // without a line in config.toml
	get       func(node.Settings) string
	set       func(*node.Settings, string) error // an empty value takes the line out
}

func textSetting(key, what string, field func(*node.Settings) *string, check func(string) (string, error)) setting {
	return setting{
		key: key, what: what,
		get: func(s node.Settings) string { return *field(&s) },
		set: func(s *node.Settings, value string) (err error) {
			if value != "" {
				value, err = check(value)
			}
			*field(s) = value
			return err
		},
	}
}

// settingsTable lists the settings in the order in which they are shown.
func settingsTable() []setting {
	return []setting{
		textSetting("listen", "host:port of this machine to listen on", func(s *node.Settings) *string { return &s.Listen },
			func(v string) (string, error) { return v, p2p.Config{Listen: v}.Check() }),
		textSetting("address", "host:port under which others reach this machine", func(s *node.Settings) *string { return &s.Address },
			func(v string) (string, error) {
				place, err := identity.PlaceOf(v)
				return place.Address(), err
			}),
		textSetting("proxy", "socks5://host:port for every connection out", func(s *node.Settings) *string { return &s.Proxy },
			func(v string) (string, error) { return v, checkProxy(v) }),
		textSetting("key-file", "path of the key file, if the vault has one", func(s *node.Settings) *string { return &s.KeyFile }, checkKeyFile),
		{
			key: "rest", what: "minutes without a command until screens lock, 1 to 120", usual: itoa(usualRest),
			get: func(s node.Settings) string {
				if s.Rest == 0 {
					return ""
				}
				return itoa(s.Rest)
			},
			set: func(s *node.Settings, value string) (err error) {
				s.Rest, err = number(value, 1, mostRest, "rest is a number of minutes from 1 to 120", "backchannel config set rest 10")
				return err
			},
		},
	}
}

func number(value string, least, most int, message, hint string) (int, error) {
	if value == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < least || n > most {
		return 0, usage(message, hint)
	}
	return n, nil
}

// checkSettings finds what is wrong with settings that were written by hand.
func checkSettings(s node.Settings) error {
	for _, k := range settingsTable() {
		if k.key == "proxy" {
			continue // it may hold a password there; the network looks at it
		}
		value := k.get(s)
		if err := k.set(&s, value); err != nil {
			return &control.Error{
				Code: "bad_config", Exit: control.ExitFailed, Message: "config.toml: the value of " + k.key + " is not allowed: " + control.Describe(err).Message,
				Hint: "mend or delete that line, then: backchannel config list",
			}
		}
	}
	return nil
}

// settingAnswer describes one setting.
type settingAnswer struct {
	V       int    `json:"v,omitempty"` // of an answer; none in a list
	Key     string `json:"key"`
	Value   string `json:"value"`
	Default bool   `json:"default"`
	What    string `json:"what"`
	Restart bool   `json:"takes_effect_at_next_unlock,omitempty"`
}

func (k setting) answer(s node.Settings) settingAnswer {
	ans := settingAnswer{Key: k.key, Value: k.get(s), What: k.what}
	if ans.Value == "" {
		ans.Value, ans.Default = k.usual, true
	}
	if u, err := url.Parse(ans.Value); k.key == "proxy" && err == nil {
		ans.Value = u.Redacted()
	}
	return ans
}

func (a *app) configCommand() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Show and change the settings of this machine"}
	c.AddCommand(
		&cobra.Command{
			Use: "list", Short: "List the settings", Example: "  backchannel config list", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return a.configList() },
		},
		&cobra.Command{
			Use: "get KEY", Short: "Print one setting", Example: "  backchannel config get rest", Args: cobra.ExactArgs(1), ValidArgsFunction: settingKeys,
			RunE: func(_ *cobra.Command, args []string) error { return a.configGet(args[0]) },
		},
		&cobra.Command{
			Use: "set KEY VALUE", Short: "Change one setting",
			Long: `Change one setting in config.toml. Nothing secret is among them. A node that
runs reads them when it goes online. Comments and other lines of the file stay.`,
			Example: "  backchannel config set rest 10\n  backchannel config set proxy socks5://127.0.0.1:9050", Args: cobra.ExactArgs(2), ValidArgsFunction: settingKeys,
			RunE: func(cmd *cobra.Command, args []string) error {
				if args[1] == "" {
					return usage("the value is empty", "backchannel config unset --help")
				}
				return a.configSet(cmd, args[0], args[1])
			},
		},
		&cobra.Command{
			Use: "unset KEY", Short: "Go back to what a setting is without a line in config.toml", Example: "  backchannel config unset rest",
			Args: cobra.ExactArgs(1), ValidArgsFunction: settingKeys,
			RunE: func(cmd *cobra.Command, args []string) error { return a.configSet(cmd, args[0], "") },
		},
	)
	return c
}

// settingKeys completes the name of a setting, and nothing after it.
func settingKeys(_ *cobra.Command, args []string, _ string) (keys []string, _ cobra.ShellCompDirective) {
	if len(args) == 0 {
		for _, k := range settingsTable() {
			keys = append(keys, k.key)
		}
	}
	return keys, cobra.ShellCompDirectiveNoFileComp
}

// findSetting finds a setting by its key. What was typed is not repeated.
func findSetting(key string) (setting, error) {
	nearest := &cobra.Command{SuggestionsMinimumDistance: 3}
	for _, k := range settingsTable() {
		if k.key == key {
			return k, nil
		}
		nearest.AddCommand(&cobra.Command{Use: k.key, Run: func(*cobra.Command, []string) {}})
	}
	message := "there is no such setting"
	if near := nearest.SuggestionsFor(key); len(near) > 0 {
		message += "; did you mean " + near[0] + "?"
	}
	return setting{}, usage(message, "backchannel config list")
}

func (a *app) settings() (paths, node.Settings, error) {
	p, err := a.paths()
	if err != nil {
		return p, node.Settings{}, err
	}
	s, err := p.settings()
	return p, s, err
}

func (a *app) configList() error {
	_, s, err := a.settings()
	if err != nil {
		return err
	}
	ans := struct {
		V        int             `json:"v"`
		Settings []settingAnswer `json:"settings"`
	}{V: control.Version}
	for _, k := range settingsTable() {
		ans.Settings = append(ans.Settings, k.answer(s))
	}
	return a.answer(ans, func() {
		for _, k := range ans.Settings {
			value := clean(k.Value)
			switch {
			case k.Default && value == "":
				value = "-"
			case k.Default:
				value += " (as it comes)"
			}
			a.say("%-10s %-24s  %s", k.Key, value, k.What)
		}
	})
}

func (a *app) configGet(key string) error {
	k, err := findSetting(key)
	if err != nil {
		return err
	}
	_, s, err := a.settings()
	if err != nil {
		return err
	}
	ans := k.answer(s)
	ans.V = control.Version
	return a.answer(ans, func() { a.say("%s", clean(ans.Value)) })
}

func (a *app) configSet(cmd *cobra.Command, key, value string) error {
	k, err := findSetting(key)
	if err != nil {
		return err
	}
	p, s, err := a.settings()
	if err != nil {
		return err
	}
	before := k.get(s)
	if err := k.set(&s, value); err != nil {
		return err
	}
	if k.get(s) != before {
		if err := p.write(s); err != nil {
			return err
		}
	}
	ans := k.answer(s)
	ans.V, ans.Restart = control.Version, k.get(s) != before && a.takesLater(cmd)
	return a.answer(ans, func() {
		a.say("%s: %s", k.key, clean(ans.Value))
		a.sayWhen(ans.Restart)
	})
}

// takesLater has a node that runs read the machine's settings and network anew, for what it
// sends while it is not online, and reports whether the rest waits for its next unlock.
func (a *app) takesLater(cmd *cobra.Command) bool {
	_ = a.call(cmd, "network/reread", control.Empty{}, &control.Done{}) // none may run
	return a.nodeIsOpen(cmd)
}

// nodeIsOpen reports whether a node runs that has read its settings.
func (a *app) nodeIsOpen(cmd *cobra.Command) bool {
	var st control.StatusAnswer
	return a.call(cmd, "status", control.Empty{}, &st) == nil && st.State != "locked"
}

func (a *app) sayWhen(restart bool) {
	if restart {
		a.say("It takes effect after: %s", a.here("backchannel lock; backchannel online"))
	}
}
