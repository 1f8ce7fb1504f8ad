package directory

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/onion"
)

// MeshLimit is up to how many relays each keeps a link to every other. Above, links
// follow a sparse graph.
const MeshLimit = 12

// Middles returns how many relays stand between the two ends of every way: one in
// a full mesh, two in a sparse graph, where two relays seldom have a neighbour in common.
func (v *View) Middles() int {
	if len(v.members) > MeshLimit {
		return 2
	}
	return 1
}

// Linked reports whether two relays keep a link with one another in this epoch.
func (v *View) Linked(a, b onion.ID) bool {
	i, ok := v.find(a)
	j, found := v.find(b)
	return ok && found && v.linked(i, j)
}

func (v *View) linked(i, j int) bool {
	_, ok := slices.BinarySearch(v.links[i], j)
	return ok
}

// graph returns the neighbours of each member, rising. In a sparse graph each relay
// chooses those of the least rank, and a link is there if either end has chosen it. The
// rank depends on the two and on the epoch alone, so that who lacks one relay sees the
// links of all others as everybody does.
func (v *View) graph() [][]int {
	n := len(v.members)
	links := make([][]int, n)
	if n <= MeshLimit {
		for i := range links {
			for j := range n {
				if j != i {
					links[i] = append(links[i], j)
				}
			}
		}
		return links
	}
	type choice struct {
		rank uint64
		to   int
	}
	choices := make([][]choice, n)
	for i := range n {
		for j := range i {
			r := v.rank(i, j)
			choices[i] = append(choices[i], choice{r, j})
			choices[j] = append(choices[j], choice{r, i})
		}
	}
	for i, c := range choices {
		slices.SortFunc(c, func(a, b choice) int { return cmp.Or(cmp.Compare(a.rank, b.rank), a.to-b.to) })
		for _, x := range c[:chosen(n)] {
			links[i] = append(links[i], x.to)
			links[x.to] = append(links[x.to], i)
		}
	}
	for i := range links {
		slices.Sort(links[i])
		links[i] = slices.Compact(links[i])
	}
	return links
}

// chosen is the least number whose cube is at least 32n: 8 of 13, 12 of 50, 21 of 256.
// Then some dozens of ways lead from each relay to each other over two middles, and a
// pair that has none without an operator twice is rare.
func chosen(n int) int {
	k := 1
	for k*k*k < 32*n {
		k++
	}
	return k
}

func (v *View) rank(i, j int) uint64 {
	i, j = min(i, j), max(i, j)
	epoch := binary.BigEndian.AppendUint32(nil, uint32(v.epoch))
	h := label.Hash(label.DirectoryGraph, v.n.root[:], epoch, v.members[i].ID[:], v.members[j].ID[:])
	return binary.BigEndian.Uint64(h[:])
}

// Way returns the relays of a way, both ends among them. It is drawn uniformly from
// the best of all ways along links that visit no relay twice: those with the fewest
// places that an operator has a second time, and among these those with the fewest
// of the relays to avoid (which are the middles of the way out, when the way back is
// drawn). Nothing that one person alone knows or trusts has a part in it.
func (v *View) Way(random io.Reader, from, to onion.ID, avoid ...onion.ID) ([]onion.ID, error) {
	ways := v.best(from, to, avoid)
	if len(ways) == 0 {
		return nil, ErrNoWay
	}
	i, err := uniform(random, len(ways))
	if err != nil {
		return nil, err
	}
	out := make([]onion.ID, 0, len(ways[i]))
	for _, m := range ways[i] {
		out = append(out, v.members[m].ID)
	}
	return out, nil
}

// best returns the ways that Way draws from.
func (v *View) best(from, to onion.ID, avoid []onion.ID) [][]int {
	i, ok := v.find(from)
	j, found := v.find(to)
	if !ok || !found || i == j {
		return nil
	}
	var ways [][]int
	least := 0
	for _, way := range v.ways(i, j) {
		c := v.cost(way, avoid)
		if len(ways) == 0 || c < least {
			ways, least = nil, c
		}
		if c == least {
			ways = append(ways, way)
		}
	}
	return ways
}

// ways returns every way from i to j along links, by members' places.
func (v *View) ways(i, j int) [][]int {
	var out [][]int
	for _, a := range v.links[i] {
		if a == j {
			continue
		}
		if v.Middles() == 1 {
			out = append(out, []int{i, a, j})
			continue
		}
		for _, b := range v.links[j] {
			if b != i && v.linked(a, b) {
				out = append(out, []int{i, a, b, j})
			}
		}
	}
	return out
}

func (v *View) cost(way []int, avoid []onion.ID) int {
	again, avoided := 0, 0
	for k, m := range way {
		for _, before := range way[:k] {
			if v.members[m].Operator == v.members[before].Operator {
				again++
				break
			}
		}
		if k > 0 && k < len(way)-1 && slices.Contains(avoid, v.members[m].ID) {
			avoided++
		}
	}
	return again*len(way) + avoided
}

// Draw returns a relay drawn uniformly from all but those named, or [ErrNoWay] if there
// is none.
func (v *View) Draw(random io.Reader, not ...onion.ID) (onion.ID, error) {
	var from []onion.ID
	for _, m := range v.members {
		if !slices.Contains(not, m.ID) {
			from = append(from, m.ID)
		}
	}
	if len(from) == 0 {
		return onion.ID{}, ErrNoWay
	}
	i, err := uniform(random, len(from))
	if err != nil {
		return onion.ID{}, err
	}
	return from[i], nil
}

// uniform draws a number below n, each equally likely.
func uniform(random io.Reader, n int) (int, error) {
	limit := -(-uint64(n) % uint64(n)) // 2^64 rounded down to a multiple of n; 0 stands for 2^64
	for range 128 {
		var b [8]byte
		if _, err := io.ReadFull(random, b[:]); err != nil {
			return 0, fmt.Errorf("drawing a relay: %w", err)
		}
		if x := binary.BigEndian.Uint64(b[:]); limit == 0 || x < limit {
			return int(x % uint64(n)), nil
		}
	}
	return 0, fmt.Errorf("drawing a relay: %w", io.ErrNoProgress)
}
