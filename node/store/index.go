package store

import (
	"slices"
)

// index knows every live record: its generation, so that an older value is never
// taken for it, and its term of the digest. It is rebuilt at each open, because
// names in Badger say nothing about kind, object and order.
type index struct {
	entries map[Key]entry
	objects map[Kind]map[[16]byte][]uint64 // sequence numbers in order
	sum     digest
}

type entry struct {
	generation uint64
	term       digest
}

func newIndex() *index {
	return &index{entries: make(map[Key]entry), objects: make(map[Kind]map[[16]byte][]uint64)}
}

// put adds a record or replaces it.
func (x *index) put(k Key, e entry) {
	old, ok := x.entries[k]
	if ok {
		x.sum = x.sum.sub(old.term)
	} else {
		objects := x.objects[k.Kind]
		if objects == nil {
			objects = make(map[[16]byte][]uint64)
			x.objects[k.Kind] = objects
		}
		seqs := objects[k.Object]
		at, _ := slices.BinarySearch(seqs, k.Seq)
		objects[k.Object] = slices.Insert(seqs, at, k.Seq)
	}
	x.entries[k] = e
	x.sum = x.sum.add(e.term)
}

// remove takes a record out, if it is there.
func (x *index) remove(k Key) {
	old, ok := x.entries[k]
	if !ok {
		return
	}
	x.sum = x.sum.sub(old.term)
	delete(x.entries, k)
	objects := x.objects[k.Kind]
	seqs := objects[k.Object]
	at, _ := slices.BinarySearch(seqs, k.Seq)
	if seqs = slices.Delete(seqs, at, at+1); len(seqs) > 0 {
		objects[k.Object] = seqs
		return
	}
	delete(objects, k.Object)
}

// of returns the keys of one object, in order.
func (x *index) of(kind Kind, object [16]byte) []Key {
	seqs := x.objects[kind][object]
	list := make([]Key, 0, len(seqs))
	for _, seq := range seqs {
		list = append(list, Key{kind, object, seq})
	}
	return list
}

// ofKind returns the keys of one kind, in order.
func (x *index) ofKind(kind Kind) []Key {
	var list []Key
	for object := range x.objects[kind] {
		list = append(list, x.of(kind, object)...)
	}
	slices.SortFunc(list, Key.Compare)
	return list
}
