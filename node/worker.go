package node

import (
	"io"
	"time"

	"github.com/backchannel/backchannel/node/channel"
)

// A worker does for one contact what the desk must not wait for: it reads the
// files that go out, or writes those that come in. It is a goroutine of the desk
// that lives while there is something to do, and a little longer.
type worker struct {
	busy bool
	more chan struct{} // wakes one that rests
}

func newWorker() *worker { return &worker{more: make(chan struct{}, 1)} }

const workerRest = 10 * time.Second

// employ sees to it that work is done. The worker is that of p; step does a piece
// of the work, outside the desk, and reports whether there was one; closeAll
// lets go of what it holds.
func (d *desk) employ(p *person, w *worker, step func() (worked bool, err error), closeAll func()) {
	if w.busy {
		select {
		case w.more <- struct{}{}:
		default:
		}
		return
	}
	w.busy = true
	id := p.conversation.ID()
	d.group.Go(func() {
		rested := d.labour(w, step) == nil
		closeAll()
		d.post(func(d *desk) {
			w.busy = false
			if rested && d.people[id] == p {
				d.files(p) // what came up in the last moment; after an error, with the next event
			}
		})
	})
}

// labour steps until there has been nothing to do for a while.
func (d *desk) labour(w *worker, step func() (bool, error)) error {
	timer := time.NewTimer(workerRest)
	defer timer.Stop()
	for {
		worked, err := step()
		if err != nil {
			return err
		}
		if worked {
			continue
		}
		timer.Reset(workerRest)
		select {
		case <-w.more:
		case <-timer.C:
			return nil
		case <-d.ctx.Done():
			return d.ctx.Err()
		}
	}
}

// files employs the workers of a contact for what its conversation wants.
func (d *desk) files(p *person) {
	now, id := d.cfg.Now(), p.conversation.ID()
	if _, wanted := p.conversation.Demand(now); wanted && p.roomy() {
		d.employ(p, p.reader, func() (bool, error) { return d.feed(id, &p.source) }, p.source.close)
	}
	if _, wanted := p.conversation.FileTask(now); wanted {
		d.employ(p, p.writer, func() (bool, error) { return d.keep(id, &p.sink) }, p.sink.close)
	}
}

// of runs f for a contact that is still there.
func (d *desk) of(id channel.ContactID, f func(*desk, *person) error) error {
	return d.do(d.ctx, func(d *desk) error {
		p := d.people[id]
		if p == nil {
			return io.EOF
		}
		return f(d, p)
	})
}
