package sim

// An eventKind says what happens.
type eventKind byte

const (
	call     eventKind = iota // do is called
	tick                      // user who: its machine has something to do
	wake                      // relay who: its mix has something to do
	toRelay                   // a packet of relay from comes to relay who
	toGuard                   // a frame of user from comes to relay who
	toClient                  // a reply comes to user who
)

// An event happens at a time, in nanoseconds from the start.
type event struct {
	at     int64
	seq    uint64 // decides between equal times
	kind   eventKind
	who    int32
	from   int32
	run    int32 // of a tick or a frame: of a machine that was stopped, it does not happen
	packet []byte
	do     func()
}

// queue is a heap with four branches, by time.
type queue struct {
	heap []event
	seq  uint64
}

func (e *event) before(f *event) bool { return e.at < f.at || e.at == f.at && e.seq < f.seq }

func (q *queue) push(e event) {
	q.seq++
	e.seq = q.seq
	q.heap = append(q.heap, e)
	h := q.heap
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 4
		if h[up].before(&e) {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = e
}

func (q *queue) pop() event {
	h := q.heap
	first := h[0]
	last := h[len(h)-1]
	h[len(h)-1] = event{}
	h = h[:len(h)-1]
	q.heap = h
	if len(h) == 0 {
		return first
	}
	i := 0
	for {
		least, down := -1, 4*i+1
		for c := down; c < min(down+4, len(h)); c++ {
			if least < 0 || h[c].before(&h[least]) {
				least = c
			}
		}
		if least < 0 || last.before(&h[least]) {
			break
		}
		h[i] = h[least]
		i = least
	}
	h[i] = last
	return first
}
