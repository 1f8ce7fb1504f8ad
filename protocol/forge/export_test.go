package forge

import "github.com/backchannel/backchannel/protocol/identity"

// CheckLines holds lines against each other as Check does, without a session.
func CheckLines(side identity.Side, lines []Line) error {
	p := newPacts(side)
	for _, l := range lines {
		if err := p.follow(l); err != nil {
			return err
		}
	}
	return nil
}
