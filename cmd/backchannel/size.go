package main

import (
	"github.com/spf13/cobra"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/vault"
)

// Sizes of a vault in MiB.
const (
	leastSize = vault.MinSlots * vault.SlotSize >> 20
	mostSize  = vault.MaxSlots * vault.SlotSize >> 20
)

// sizeFlag lets a command that makes a vault say how large. It cannot be changed
// later: the vault would have to be made anew.
func (a *app) sizeFlag(c *cobra.Command) {
	c.Flags().IntVar(&a.size, "size", leastSize, "MiB of the vault, 32 to 1024")
}

// vaultIn is the vault in a folder, as a command that makes one was told.
func (a *app) vaultIn(dir, keyFile string) (store.Config, error) {
	if a.size < leastSize || a.size > mostSize {
		return store.Config{}, usage("a vault has from 32 to 1024 MiB", "leave --size out for 32, which are enough for some 19,000 messages in a compartment")
	}
	cfg := store.Config{Dir: dir, Cost: cost, KeyFile: keyFile}
	if a.size > leastSize { // else what the store does by itself
		cfg.Slots = uint32(a.size) << 20 / vault.SlotSize
	}
	return cfg, nil
}
