package channel

// setState records what became of a message.
func (v *Conversation) setState(i int, s State) {
	m := &v.messages[i]
	m.State = s
	v.put(KindState, m.Seq, []byte{byte(s)})
	v.changed(i)
}

// changed tells of a message that is new or has another state.
func (v *Conversation) changed(i int) {
	m := v.messages[i]
	told := !v.silent(m) || m.State != Delivered && m.State != InMailbox
	if told && !v.withheld(m.Channel) && !m.hidden() {
		v.out.Changed = append(v.out.Changed, v.shown(m))
	}
}

// shown is a message as it may be shown: with how far it has come, and its file, as far as that is
// known and agreed to be told.
func (v *Conversation) shown(m Message) Message {
	if t := v.files[m.Seq]; t != nil {
		m.FileState, m.Offered = t.state, t.told != 0
		if v.unseen(m) {
			m.FileState = FileMoving
		}
	}
	if m.State == InMailbox && !v.isSealed(m.Seq) {
		m.State = OnItsWay // it was in a box of a session that is over
	}
	if (m.State == Delivered || m.State == InMailbox) && v.silent(m) || v.doubtful(m) {
		m.State = OnItsWay // of the latter: it may be gone where it was delivered
	}
	return m
}

// index adds a message to the list in memory.
func (v *Conversation) index(m Message) int {
	v.messages = append(v.messages, m)
	v.nextSeq = m.Seq + 1
	if m.Direction == In {
		v.byID[m.ID] = true
	}
	if m.File {
		v.named[fileName{m.ID, m.Direction}] = m.Seq
	}
	return len(v.messages) - 1
}

// add numbers a new message, stores it and returns its index.
func (v *Conversation) add(m Message) int {
	m.Seq, m.Stored = v.nextSeq, minute(v.now)
	i := v.index(m)
	v.put(KindMessage, m.Seq, m.append(nil))
	if m.Direction == Out {
		v.setState(i, m.State)
	} else {
		v.changed(i)
	}
	return i
}

// note adds a line of the program's own to the transcript.
func (v *Conversation) note(text string) {
	v.add(Message{Direction: Notice, Minute: minute(v.now), Text: text})
}
