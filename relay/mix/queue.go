package mix

import "sync"

// How much may wait in front of the owner, of relays together and of clients together.
const (
	maxFromRelays  = 2048
	maxFromClients = 1024
	// clientsTurn is the part, in so many, of what is left of the clients' room that may
	// be one client's.
	clientsTurn = 64
)

type incoming struct {
	from   Source
	packet []byte
}

// A queue is what waits in front of the owner. Relays and clients have rooms of their
// own. Of one source no more waits than there is room left for others: so those who come
// with a flood share what it takes, and who comes after them finds room.
type queue struct {
	relays  chan incoming
	clients chan incoming

	mu      sync.Mutex
	waiting map[passing]int // of those of whom something waits, and of nobody else; guarded by mu
}

func newQueue() *queue {
	return &queue{
		relays: make(chan incoming, maxFromRelays), clients: make(chan incoming, maxFromClients), waiting: map[passing]int{},
	}
}

// put reports whether there was room.
func (q *queue) put(p incoming) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	room, parts := q.relays, 1
	if p.from.Client {
		room, parts = q.clients, clientsTurn
	}
	if q.waiting[passing{Source: p.from}] >= share(cap(room)-len(room), parts) {
		return false
	}
	room <- p // only here: there is room
	q.waiting[passing{Source: p.from}]++
	return true
}

// took is called for each packet that the owner took.
func (q *queue) took(from Source) {
	q.mu.Lock()
	defer q.mu.Unlock()
	key := passing{Source: from}
	if q.waiting[key]--; q.waiting[key] == 0 {
		delete(q.waiting, key)
	}
}

// share is one part, in so many, of what is left free, rounded up: none of nothing.
func share(free, parts int) int { return (free + parts - 1) / parts }
