package channel

import (
	"slices"

	"github.com/backchannel/backchannel/protocol/sounding"
)

const soundedVersion = 1

func (v *Conversation) soundingTimes() []uint32 {
	times := make([]uint32, 0, len(v.sounded))
	for at := range v.sounded {
		times = append(times, at)
	}
	slices.Sort(times)
	return times
}

func (v *Conversation) dropSounding(at uint32) {
	v.sounded[at].wipe()
	delete(v.sounded, at)
	v.drop(KindSounding, uint64(at))
}

func (v *Conversation) saveSounding(s *sounded) { v.put(KindSounding, uint64(s.at), s.append(nil)) }

func (s *sounded) append(b []byte) []byte {
	e := encoder{b}
	e.u8(soundedVersion)
	e.u32(s.window)
	for _, f := range []bool{s.own, s.stopped, s.over} {
		e.flag(f)
	}
	e.u32(s.before)
	e.u8(byte(len(s.topics)))
	for _, t := range s.topics {
		e.bytes([]byte(t))
	}
	e.u8(byte(len(s.common)))
	for _, c := range s.common {
		e.bytes([]byte(c.Topic))
		e.u8(byte(c.Bits))
	}
	e.bytes(s.early)
	e.u8(s.heard)
	e.u8(s.said)
	e.u32(s.epoch)
	e.flag(s.run != nil)
	if s.run != nil {
		e.fixed(s.run.Append(nil))
	}
	return e.b
}

func parseSounded(at uint32, b []byte) (*sounded, error) {
	d := decoder{b: b}
	if err := d.version(soundedVersion); err != nil {
		return nil, err
	}
	s := &sounded{at: at, window: d.u32(), own: d.flag(), stopped: d.flag(), over: d.flag(), before: d.u32()}
	for n := d.u8(); n > 0 && !d.bad; n-- {
		s.topics = append(s.topics, string(d.bytes()))
	}
	for n := d.u8(); n > 0 && !d.bad; n-- {
		s.common = append(s.common, CommonTopic{string(d.bytes()), int(d.u8())})
	}
	s.early = d.bytes()
	s.heard, s.said, s.epoch = d.u8(), d.u8(), d.u32()
	if d.flag() {
		raw := d.fixed(sounding.StateSize)
		run, err := sounding.Load(raw)
		d.bad = d.bad || err != nil
		s.run = run
	}
	if len(s.topics) > 0 {
		_, err := soundingTopics(s.topics)
		d.bad = d.bad || err != nil
	}
	if s.window > at || s.over && s.run != nil {
		return nil, ErrRecord
	}
	return s, d.end()
}

func (v *Conversation) loadSoundings() error {
	for r, err := range v.cfg.Records.Scan(KindSounding, v.id) {
		if err != nil {
			return err
		}
		switch {
		case v.c.stage == Leaving:
			v.stale = append(v.stale, r.Key)
		case r.Key.Seq == 0:
			d := decoder{b: r.Value}
			if err := d.version(soundedVersion); err != nil {
				return err
			}
			v.lastAt = d.u32()
			err = d.end()
		default:
			var s *sounded
			if s, err = parseSounded(uint32(r.Key.Seq), r.Value); err == nil {
				v.sounded[s.at] = s
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
