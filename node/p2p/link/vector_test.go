package link

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/backchannel/backchannel/protocol/prototest"
)

func TestVectors(t *testing.T) {
	beats := prototest.Vector{"name": "slot 59837760 of 30 s, rate 7: nanoseconds after its beginning"}
	begin := time.Unix(59837760*30, 0)
	p, at := newPace(30*time.Second, 7, begin), begin
	for i := 0; i < 7; {
		n, wait := p.take(at)
		if n == 1 {
			beats[fmt.Sprint(i)] = fmt.Sprint(at.Sub(begin).Nanoseconds())
			i++
		}
		at = at.Add(wait)
	}
	id := identity(1).ID()
	question := make([]byte, questionSize)
	copy(question[2:], append(bytes.Clone(id[:]), 1, 2, 3))
	binary.BigEndian.PutUint16(question, 23)
	prototest.Replay(t, "testdata/link.json", []prototest.Vector{
		beats,
		{"name": "frame", "packet": "0102", "frame": prototest.Hex(appendFrame(nil, []byte{1, 2}, 2)), "padding": prototest.Hex(appendFrame(nil, nil, 2))},
		{"name": "name", "seed": prototest.Hex(key(1).Seed()), "id": prototest.Hex(id[:])},
		{"name": "sizes", "question": fmt.Sprint(questionSize), "answer": fmt.Sprint(answerSize), "begins": prototest.Hex(question[:25])},
	})
}
