package sim

import (
	"bufio"
	"strconv"
	"time"
)

// A Row is one packet on one link, as who taps it sees it: when it left, between whom, and
// its bytes of TCP. Places count relays first, then users.
type Row struct {
	At       time.Duration
	From, To int
	Size     int
}

// trace writes rows as CSV.
type trace struct {
	out   *bufio.Writer
	line  []byte
	names []string
}

const header = "t,src,dst,size\n"

func (t *trace) open(w *World) {
	for _, r := range w.relays {
		t.names = append(t.names, r.name)
	}
	for i := range w.cfg.Users {
		t.names = append(t.names, w.newUser(i).name)
	}
	if w.cfg.Trace != nil {
		t.out = bufio.NewWriterSize(w.cfg.Trace, 1<<20)
		_, _ = t.out.WriteString(header) // an error stays, and comes at the end
	}
}

func (t *trace) close() error {
	if t.out == nil {
		return nil
	}
	return t.out.Flush()
}

// row notes a packet. What is before the beginning is not in the trace.
func (w *World) row(at int64, from, to, size int) {
	if at < 0 {
		return
	}
	if w.cfg.Rows != nil {
		w.cfg.Rows(Row{time.Duration(at), from, to, size})
	}
	t := &w.trace
	if t.out == nil {
		return
	}
	b := strconv.AppendInt(t.line[:0], at/1e9, 10)
	b = append(b, '.')
	micro := at / 1000 % 1e6
	for p := int64(1e5); p > 0; p /= 10 {
		b = append(b, byte('0'+micro/p%10))
	}
	b = append(append(append(b, ','), t.names[from]...), ',')
	b = append(append(b, t.names[to]...), ',')
	b = append(strconv.AppendInt(b, int64(size), 10), '\n')
	t.line = b
	_, _ = t.out.Write(b) // likewise
}
