package channel

import (
	"errors"
	"slices"

	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/file"
	"github.com/backchannel/backchannel/protocol/wire"
)

// Load reads a conversation back from its records.
func Load(cfg Config, id ContactID) (*Conversation, error) {
	v := empty(cfg, id)
	raw, err := v.cfg.Records.Get(store.Key{Kind: KindContact, Object: id})
	if err != nil {
		return nil, err
	}
	if v.c, err = parseContact(raw); err != nil {
		return nil, err
	}
	switch raw, err = v.cfg.Records.Get(store.Key{Kind: KindSession, Object: id}); {
	case err == nil:
		if v.s, err = parseSession(raw); err != nil {
			return nil, err
		}
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	switch raw, err = v.cfg.Records.Get(store.Key{Kind: KindDrops, Object: id}); {
	case err == nil:
		if err := v.loadDrops(raw); err != nil {
			return nil, err
		}
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	default: // of a backup: two who met at drops do not show each other where they are
		if _, ok := v.setOfCards(); ok {
			v.drops.policy = RelayRoute
		}
	}
	switch raw, err = v.cfg.Records.Get(store.Key{Kind: KindFormer, Object: id}); {
	case err == nil && v.s != nil:
		if err := v.loadFormer(raw); err != nil {
			return nil, err
		}
	case err == nil:
		v.stale = append(v.stale, store.Key{Kind: KindFormer, Object: id})
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	if err := errors.Join(v.loadCompared(), v.loadCharters(), v.loadLists()); err != nil {
		return nil, err
	}
	v.requeue()
	return v, nil
}

func (v *Conversation) loadLists() error {
	for r, err := range v.cfg.Records.Scan(KindSealed, v.id) {
		if err != nil {
			return err
		}
		cell, err := parseSealed(r.Value)
		if err != nil {
			return err
		}
		switch {
		case cell.message != 0 && (v.gone(cell.message) || v.ofBurned(cell)):
			v.stale, v.burning = append(v.stale, r.Key), v.burning || v.ofBurned(cell)
		case !v.current(r.Key):
		case v.s.gaps.has(uint32(r.Key.Seq)):
			v.stale = append(v.stale, r.Key) // the peer may have passed over it: its text goes under another number
		default:
			v.sealed[uint32(r.Key.Seq)] = cell
		}
	}
	for r, err := range v.cfg.Records.Scan(KindInbound, v.id) {
		if err != nil {
			return err
		}
		f, err := wire.ParseFrame(r.Value)
		if err != nil || uint64(f.Number) != r.Key.Seq&(1<<32-1) {
			return ErrRecord
		}
		switch {
		case v.former != nil && r.Key.Seq>>32 == uint64(v.former.s.epoch):
			v.former.inbound[uint32(r.Key.Seq)] = f
		case v.current(r.Key):
			v.inbound[uint32(r.Key.Seq)] = f
		default:
			continue
		}
		if v.used.has(f.Channel) && len(f.Content) > 0 && !slices.Contains(v.lapsed, f.Channel) {
			v.lapsed, v.burning = append(v.lapsed, f.Channel), true // to be blanked
		}
	}
	for r, err := range v.cfg.Records.Scan(KindMessage, v.id) {
		if err != nil {
			return err
		}
		if v.gone(r.Key.Seq) {
			v.stale = append(v.stale, r.Key)
			continue
		}
		m, err := ParseMessage(r.Key.Seq, r.Value)
		if err != nil {
			return err
		}
		if m.Channel > Open && v.used.has(m.Channel) {
			v.stale, v.burning = append(v.stale, r.Key), true
			v.nextSeq = m.Seq + 1
			continue
		}
		v.index(m)
	}
	for r, err := range v.cfg.Records.Scan(KindState, v.id) {
		if err != nil {
			return err
		}
		if len(r.Value) != 1 || State(r.Value[0]) < Waiting || State(r.Value[0]) > Expired {
			return ErrRecord
		}
		if i, ok := v.find(r.Key.Seq); ok {
			v.messages[i].State = State(r.Value[0])
		} else {
			v.stale = append(v.stale, r.Key)
		}
	}
	v.nextSeq = max(v.nextSeq, v.c.next)
	if err := v.loadEndings(); err != nil {
		return err
	}
	if err := errors.Join(v.loadHeld(), v.loadSignings(), v.loadIntroductions(), v.loadSoundings(), v.loadErrands()); err != nil {
		return err
	}
	return v.loadFiles()
}

// current reports whether a cell's record belongs to the session in use; one of
// a former session is put aside to be deleted.
func (v *Conversation) current(k store.Key) bool {
	if v.s != nil && k.Seq>>32 == uint64(v.s.epoch) {
		return true
	}
	v.stale = append(v.stale, k)
	return false
}

func empty(cfg Config, id ContactID) *Conversation {
	return &Conversation{
		cfg: cfg.withDefaults(), id: id,
		sealed: map[uint32]*sealedCell{}, inbound: map[uint32]wire.Frame{}, byID: map[wire.MessageID]bool{}, nextSeq: 1,
		recent: map[[36]byte][24]byte{}, files: map[uint64]*transfer{}, tell: map[file.ID]file.State{}, endings: map[file.ID]ending{}, named: map[fileName]uint64{},
		held: map[uint64]*held{}, signings: map[uint64]*signing{}, charters: map[uint32]*charter.Charter{},
		introductions: map[uint64]*introducing{}, sounded: map[uint32]*sounded{}, errands: map[uint64]*errand{},
	}
}
