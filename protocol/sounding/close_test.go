package sounding_test

import (
	"errors"
	"testing"

	"github.com/backchannel/backchannel/protocol/prototest"
	"github.com/backchannel/backchannel/protocol/sounding"
)

// TestNothingGoesOnAfterTheTime closes a side in the middle.
func TestNothingGoesOnAfterTheTime(t *testing.T) {
	a := start(t, sounding.First, prototest.Reader(1), "x")
	b := start(t, sounding.Second, prototest.Reader(2), "x")
	play(t, &a, &b, 20)
	due := a.Outgoing()
	if due == nil {
		t.Fatal("nothing is due")
	}
	before := result(t, b)
	if err := b.Receive(due); !errors.Is(err, sounding.ErrOrder) {
		t.Errorf("a message after the time: %v, want ErrOrder", err)
	}
	reload(t, &b)
	after, err := b.Result()
	if err != nil || len(before) != 1 || len(after) != 1 || before[0] != after[0] {
		t.Errorf("the result was %v and is %v, %v", before, after, err)
	}
	a.Close()
	if a.Outgoing() != nil {
		t.Error("it sends after the time")
	}
}

// TestEchoIsNoAnswer has a cheat without the topic who sends each round's bits
// back.
func TestEchoIsNoAnswer(t *testing.T) {
	a := start(t, sounding.First, prototest.Reader(1), "x")
	b := start(t, sounding.Second, prototest.Reader(2))
	play(t, &a, &b, 2)
	for !a.Done() {
		if err := a.Receive(a.Outgoing()); err != nil {
			t.Fatal(err)
		}
	}
	if r := result(t, a); len(r) != 0 {
		t.Errorf("the echo is taken for a yes: %v", r)
	}
}

func TestScalarsAreForgotten(t *testing.T) {
	a := start(t, sounding.First, prototest.Reader(1), "x")
	b := start(t, sounding.Second, prototest.Reader(2))
	if a.Forgotten() {
		t.Fatal("there are no scalars")
	}
	if err := b.Receive(a.Outgoing()); err != nil {
		t.Fatal(err)
	}
	if !b.Forgotten() {
		t.Error("the scalars outlive the shares")
	}
}
