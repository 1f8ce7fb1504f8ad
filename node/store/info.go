package store

import "github.com/backchannel/backchannel/protocol/vault"

// PageSize is how many bytes a page takes that [Usage] counts.
const PageSize = vault.SlotSize

// Size returns how many bytes all slots take together, whatever is in them.
func (s *Store) Size() int64 { return int64(s.slots) * vault.SlotSize }
