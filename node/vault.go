package node

import (
	"context"
	"errors"
	"runtime/debug"

	"github.com/backchannel/backchannel/node/store"
)

// VaultInfo is what is known of the vault to who has opened a compartment: the same
// as if there were no other one.
type VaultInfo struct {
	Size int64 // bytes of the vault on the disk; it never grows
	Room int64 // bytes that a compartment has
	Used int64 // of these
}

// VaultInfo tells how full what is open is.
func (n *Node) VaultInfo(ctx context.Context) (info VaultInfo, err error) {
	err = n.do(ctx, func(d *desk) error {
		u := d.store.Usage()
		info = VaultInfo{d.store.Size(), int64(u.Limit) * store.PageSize, int64(u.Pages) * store.PageSize}
		return nil
	})
	return info, err
}

// HasKeyFile reports whether what is open has a key file.
func (n *Node) HasKeyFile(ctx context.Context) (keyed bool, err error) {
	err = n.do(ctx, func(d *desk) error { keyed = d.keyed; return nil })
	return keyed, err
}

// TakeKeyFile gives a vault that has no key file the one that store.MakeKeyFile made,
// as burning rotates one. store.ErrKeyFileExists says that there is one already.
func (n *Node) TakeKeyFile(ctx context.Context, path string) error {
	return n.do(ctx, func(d *desk) error {
		if !d.online {
			return ErrOffline
		}
		err := d.store.TakeKeyFile(path)
		if err == nil || errors.Is(err, store.ErrKeyFileOld) {
			d.keyed = true
		}
		return d.refreshed(err)
	})
}

// Rekey gives the vault other passphrases, one to three: the first opens what is
// open now, each further one less. Compartments above that have no passphrase among
// them are destroyed, and so is what is not open; new ones are empty. The present
// passphrase must be given, too. If the process dies on the way, either the old
// passphrases open the vault or the new ones do, and nothing is lost.
func (n *Node) Rekey(ctx context.Context, present []byte, passphrases ...[]byte) error {
	n.opening.Lock()
	defer n.opening.Unlock()
	defer debug.FreeOSMemory()
	var on *desk
	err := n.do(ctx, func(d *desk) error {
		if on = d; !d.online {
			return ErrOffline
		}
		return nil
	})
	if err != nil {
		return err
	}
	m, err := on.store.Match(present, "")
	if err != nil {
		return err
	}
	if m != store.Shown {
		return store.ErrPassphrase
	}
	err = on.store.Rekey(passphrases...) // here, because stretching takes seconds
	return on.do(context.WithoutCancel(ctx), func(d *desk) error {
		if err == nil || errors.Is(err, store.ErrKeyFileOld) {
			d.openBeneath() // there may be other levels
		}
		return d.refreshed(err)
	})
}
