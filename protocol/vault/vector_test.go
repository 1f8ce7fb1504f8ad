package vault

import (
	"fmt"
	"testing"

	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/secret"
)

// TestVectors replays docs/spec/vault.md, section Example.
func TestVectors(t *testing.T) {
	stretched := make([]byte, 32)
	for i := range stretched {
		stretched[i] = 7
	}
	second := secret.New(&[32]byte{8})
	kek := KEK(&testStore, stretched)
	root := secret.New(&[32]byte{9})
	keys, coins := levelKeys(root), [32]byte{5}
	object := &object{id: [16]byte{4}, number: 1, key: secret.New(&[32]byte{6})}

	l := newLevel(Standard(MinSlots), 0, root)
	p := &page{id: 3, object: object}
	l.next = 2
	l.add(p, piece{kind: 5, seq: 1, version: 2, total: 5, data: []byte("hello")}, Key{})
	l.add(p, piece{kind: 6, seq: 1, version: 2, total: gone}, Key{})
	pageBlock := l.frozen(p)
	row := &page{object: l.numbers[0]}
	l.add(row, piece{seq: 1, version: 2, total: tableValue, data: append(object.id[:], object.key.Bytes()...)}, Key{})
	l.pages, l.count, l.version = []*page{{version: 2}, {version: 1}}, 2, 2

	sealed := func(k *slotKeys, body secret.Key, p *plain) string {
		return prototest.Hex(k.sealSlot(body, place(&testStore, 7), &coins, p)[:])
	}
	h := header{roots: []secret.Key{root}}
	hd := head{number: 11, tick: 10, version: 2, pages: 2, digest: l.sum()}
	vectors := []prototest.Vector{
		{
			"name": "keys: store 01 02 03 00.., stretched 32 x 07, second secret 08 00.., root 09 00..",
			"kek":  prototest.Hex(kek.Bytes()), "header seal with second": prototest.Hex(headerKeys(kek, second).seal.Bytes()),
			"match": prototest.Hex(keys.match.Bytes()), "nonce": prototest.Hex(keys.nonce.Bytes()),
			"seal": prototest.Hex(keys.seal.Bytes()), "body": prototest.Hex(keys.body.Bytes()),
		},
		{
			"name":  "header of level 0 under the kek, index 7, coins 05 00..",
			"plain": prototest.Hex(h.plain()[:]), "slot": sealed(headerKeys(kek, secret.Key{}), headerKeys(kek, secret.Key{}).body, h.plain()),
		},
		{
			"name":  "head 11: tick 10, version 2, two pages of versions 2 and 1",
			"plain": prototest.Hex(hd.plain()[:]), "slot": sealed(keys, keys.body, hd.plain()),
		},
		{
			"name":  "page 3 of object 04 00.., number 1, object key 06 00..: kind 5 seq 1 hello, kind 6 seq 1 deleted",
			"plain": prototest.Hex(pageBlock.plain[:]), "slot": sealed(keys, object.key, pageBlock.plain),
		},
		{
			"name":  "page 0, of the table",
			"plain": prototest.Hex(l.frozen(row).plain[:]), "slot": sealed(keys, keys.body, l.frozen(row).plain),
		},
		assignVector(),
	}
	prototest.Replay(t, "testdata/vault.json", vectors)
}

// assignVector is a tick of eight slots out of 32.
func assignVector() prototest.Vector {
	coins := Coins{3}
	touched := coins.stream("touch", 0).choose(32, 8)
	lies := map[uint32]int{}
	for i, slot := range touched {
		if i < 5 {
			lies[slot] = i % 2
		}
	}
	demands := make([]demand, 2)
	for n := range demands {
		demands[n] = demand{
			holds: func(slot uint32) bool { at, ok := lies[slot]; return ok && at == n },
			fresh: func(room int) int { return min(room, 2) },
		}
	}
	shares, _ := assign(touched, demands, func(n int) stream { return coins.stream("place", n) })
	return prototest.Vector{
		"name":    "placement: 8 of 32 slots, coins 03 00.., two levels; of the touched slots, as drawn, 0 2 4 are of level 0, 1 3 of level 1; two new blocks each",
		"touched": fmt.Sprint(touched),
		"level 0": fmt.Sprint(shares[0].fresh), "level 1": fmt.Sprint(shares[1].fresh), "moved": fmt.Sprint(shares[1].moved),
	}
}
