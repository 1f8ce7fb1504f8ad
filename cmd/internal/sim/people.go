package sim

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/backchannel/backchannel/node/route/relayed"
	"github.com/backchannel/backchannel/protocol/cadence"
	"github.com/backchannel/backchannel/protocol/drop"
	"github.com/backchannel/backchannel/protocol/secret"
)

// people makes users, who knows whom, and what they will write.
func (w *World) people() {
	for i := range w.cfg.Users {
		w.users = append(w.users, w.newUser(i))
		w.truth.Users = append(w.truth.Users, w.users[i].name)
	}
	for _, r := range w.relays {
		w.truth.Relays = append(w.truth.Relays, r.name)
	}
	w.truth.Duration = w.cfg.Duration.Seconds()
	pairs := w.pairs()
	count := make([]int, len(w.users))
	for _, p := range pairs {
		count[p[0]]++
		count[p[1]]++
	}
	random := w.rand(forPeople, 1)
	for i, p := range pairs {
		a, b := w.meet(i, p, period(max(count[p[0]], count[p[1]])), random)
		if i < w.cfg.TalkingPairs {
			w.converse(a, b, w.rand(forPeople, 2+i))
		} else {
			w.truth.Silent = append(w.truth.Silent, [2]string{a.u.name, b.u.name})
		}
	}
	slices.SortStableFunc(w.truth.Conversations, func(a, b Conversation) int { return int(math.Copysign(1, a.Start-b.Start)) })
	w.expectBoxes()
	for _, u := range w.users {
		u.live()
	}
}

// pairs draws who knows whom: the first talk. Everybody has a contact as long as there
// are enough users, so that having one says nothing.
func (w *World) pairs() (all [][2]int) {
	random := w.rand(forPeople, 0)
	order := random.Perm(w.cfg.Users)
	seen := map[[2]int]bool{}
	for i := 0; i+1 < len(order); i += 2 {
		p := [2]int{order[i], order[i+1]}
		seen[[2]int{min(p[0], p[1]), max(p[0], p[1])}] = true
		all = append(all, p)
	}
	for len(all) < w.cfg.TalkingPairs {
		a, b := random.IntN(w.cfg.Users), random.IntN(w.cfg.Users)
		if k := [2]int{min(a, b), max(a, b)}; a != b && !seen[k] {
			seen[k] = true
			all = append(all, [2]int{a, b})
		}
	}
	return all
}

// period is the shortest that leaves so many contacts room.
func period(contacts int) cadence.Period {
	for _, p := range []cadence.Period{1, 2, 4} {
		if contacts <= cadence.Lanes*int(p) {
			return p
		}
	}
	return 8
}

// meet makes two users contacts: each chooses a drop, the third is neutral.
func (w *World) meet(number int, p [2]int, every cadence.Period, random *rand.Rand) (a, b *talk) {
	var id relayed.ContactID
	binary.BigEndian.PutUint64(id[:], uint64(number)+1)
	seed := w.seedOf(forPeople, -1-number, 0)
	root := secret.New(&seed)
	members := w.view.Members()
	first := random.Perm(len(members))
	set := [drop.SetSize]int{0: first[0], 1: first[1]}
	for _, i := range first[1:] {
		if members[i].Operator != members[first[0]].Operator {
			set[1] = i
			break
		}
	}
	neutral, _ := relayed.Neutral(w.view, root, members[set[0]].ID, members[set[1]].ID)
	side := func(u *user, d drop.Direction) *talk {
		first := drop.DayAt(time.Duration(w.time().UnixNano()))
		t := &talk{u: u, low: 1, in: map[uint32]bool{}, root: root, setup: relayed.Contact{
			ID: id, Direction: d, Period: every, Chain: drop.NewChain(root, first),
		}}
		t.setup.Set[0], t.setup.Set[1], t.setup.Set[2] = members[set[0]].ID, members[set[1]].ID, neutral
		if w.cfg.Unprotected {
			t.worth = map[uint64]bool{}
		}
		u.talks[id], u.order, w.talks = t, append(u.order, t), append(w.talks, t)
		t.number = len(w.talks)
		return t
	}
	a, b = side(w.users[p[0]], drop.FromInviter), side(w.users[p[1]], drop.FromAccepter)
	a.peer, b.peer = b, a
	return a, b
}

// converse writes the script of a pair that talks: some conversations in a day, each of
// some dozens of texts, now and then a file. Who is not at the machine writes later.
func (w *World) converse(a, b *talk, random *rand.Rand) {
	days := w.cfg.Duration.Hours() / 24
	for range max(1, int(math.Round(days*3+random.NormFloat64()*days))) {
		at := int64(random.Float64() * 0.8 * float64(w.cfg.Duration))
		talk := Conversation{A: a.u.name, B: b.u.name, Start: -1}
		for range 10 + random.IntN(30) {
			at += int64(10*time.Second) + int64(exponential(random, 80*time.Second))
			if random.IntN(3) > 0 {
				a, b = b, a
			}
			at := a.u.nextOn(at)
			m := Message{From: a.u.name, To: b.u.name, Size: sizeOf(random)}
			if at >= int64(w.cfg.Duration) {
				break
			}
			writer := a
			w.at(at, func() { writer.write(m) })
			if talk.Start < 0 {
				talk.Start = seconds(at)
			}
			talk.End = max(talk.End, seconds(at))
		}
		if talk.Start >= 0 {
			w.truth.Conversations = append(w.truth.Conversations, talk)
		}
	}
}

// sizeOf draws the size of what is sent: of a text, and one time in a hundred of a file.
func sizeOf(random *rand.Rand) int {
	if random.IntN(100) == 0 {
		return 20_000 + random.IntN(180_000)
	}
	return min(textPart, int(20*math.Exp(random.Float64()*math.Log(60))))
}
