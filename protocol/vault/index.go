package vault

import "slices"

// index finds records, and keeps their order.
type index struct {
	entries map[Key]*entry                 // with those that were deleted and must not come back
	objects map[Kind]map[[16]byte][]uint64 // sequence numbers in order, without them
}

// entry is the current version of a record.
type entry struct {
	version   uint64
	total     uint32
	fragments []*fragment
}

func (e *entry) gone() bool { return e.total == gone }

func newIndex() index {
	return index{entries: map[Key]*entry{}, objects: map[Kind]map[[16]byte][]uint64{}}
}

// put makes e the current version of a record.
func (x *index) put(k Key, e *entry) {
	old := x.entries[k]
	x.entries[k] = e
	was := old != nil && !old.gone()
	if was == !e.gone() {
		return
	}
	if was {
		x.unlist(k)
		return
	}
	if k.Kind == 0 {
		return
	}
	objects := x.objects[k.Kind]
	if objects == nil {
		objects = make(map[[16]byte][]uint64)
		x.objects[k.Kind] = objects
	}
	seqs := objects[k.Object]
	at, _ := slices.BinarySearch(seqs, k.Seq)
	objects[k.Object] = slices.Insert(seqs, at, k.Seq)
}

// extend puts one more fragment of a current version into entries.
func (x *index) extend(f *fragment) {
	e := x.entries[f.key]
	if e == nil {
		e = &entry{version: f.version, total: f.total}
		x.entries[f.key] = e
	}
	e.fragments = append(e.fragments, f)
}

// list makes the order of everything that was put into entries by hand.
func (x *index) list() {
	for k, e := range x.entries {
		if k.Kind == 0 || e.gone() {
			continue
		}
		if x.objects[k.Kind] == nil {
			x.objects[k.Kind] = make(map[[16]byte][]uint64)
		}
		x.objects[k.Kind][k.Object] = append(x.objects[k.Kind][k.Object], k.Seq)
	}
	for _, objects := range x.objects {
		for _, seqs := range objects {
			slices.Sort(seqs)
		}
	}
}

// remove forgets a record without a trace.
func (x *index) remove(k Key) {
	if old := x.entries[k]; old != nil && !old.gone() {
		x.unlist(k)
	}
	delete(x.entries, k)
}

func (x *index) unlist(k Key) {
	objects := x.objects[k.Kind]
	seqs := objects[k.Object]
	at, found := slices.BinarySearch(seqs, k.Seq)
	if !found {
		return
	}
	if seqs = slices.Delete(seqs, at, at+1); len(seqs) > 0 {
		objects[k.Object] = seqs
		return
	}
	delete(objects, k.Object)
}

func (x *index) of(kind Kind, object [16]byte) []Key {
	seqs := x.objects[kind][object]
	list := make([]Key, 0, len(seqs))
	for _, seq := range seqs {
		list = append(list, Key{kind, object, seq})
	}
	return list
}

func (x *index) ofKind(kind Kind) []Key {
	var list []Key
	for object := range x.objects[kind] {
		list = append(list, x.of(kind, object)...)
	}
	slices.SortFunc(list, Key.Compare)
	return list
}
