package directory

import (
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/backchannel/backchannel/protocol/directory"
	"github.com/backchannel/backchannel/protocol/onion"
)

// learntFile holds what founders said and relays proved since the network file was made:
// version 1, then of each relay the length 2 and a message of directory.md with its voucher
// and, if there is one, the proof against it. A relay whose neighbours are all newer than
// its network file would otherwise know nobody when it starts, and one that was revoked, or
// that contradicted itself, would be taken for honest. It is no secret, and is verified
// like what strangers send.
const learntFile = "relays"

const (
	learntVersion = 1
	maxLearnt     = 1 + directory.MaxRelays*(2+1+2*3+directory.MaxVoucher+directory.MaxProof)
)

// recall takes what an earlier run has kept. What cannot be read or does not verify is left
// out: it is learnt again.
func (d *Directory) recall() {
	f, err := os.Open(filepath.Join(d.cfg.Dir, learntFile))
	if err != nil {
		return
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxLearnt+1))
	if err != nil || len(b) > maxLearnt || len(b) == 0 || b[0] != learntVersion {
		return
	}
	for b = b[1:]; len(b) >= 2; {
		n := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; n > len(b) {
			return
		}
		items, err := directory.ParseItems(b[:n])
		if err != nil {
			return
		}
		d.add(items)
		b = b[n:]
	}
}

// keep writes what is known of relays, if something has changed. A disk that fails is tried
// again the next time.
func (d *Directory) keep() {
	d.mu.Lock()
	if !d.learnt {
		d.mu.Unlock()
		return
	}
	d.learnt = false
	b := d.known()
	d.mu.Unlock()
	if replace(filepath.Join(d.cfg.Dir, learntFile), b) != nil {
		d.mu.Lock()
		d.learnt = true
		d.mu.Unlock()
	}
}

// known is the file's content, and drops vouchers that have ended; mu is held.
func (d *Directory) known() []byte {
	e := d.cfg.Network.EpochAt(d.cfg.Now())
	var all []onion.ID
	for id, v := range d.vouchers {
		if v.Until <= e {
			delete(d.vouchers, id)
			continue
		}
		all = append(all, id)
	}
	slices.SortFunc(all, func(a, b onion.ID) int { return slices.Compare(a[:], b[:]) })
	b := []byte{learntVersion}
	for _, id := range all[:min(len(all), directory.MaxRelays)] {
		v := d.vouchers[id]
		message := directory.AppendItem(nil, directory.Item{Kind: directory.VoucherItem, Bytes: v.Append(nil, d.cfg.Network)})
		if p := d.set.Proof(v.Relay); p != nil {
			message = directory.AppendItem(message, directory.Item{Kind: directory.ProofItem, Bytes: p.Append(nil)})
		}
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(message))), message...)
	}
	return b
}
