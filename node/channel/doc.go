// Package channel is one person's conversation with one contact, from invitation
// to the last acknowledgement: a state machine that takes events and returns
// what is to be done (docs/spec/session.md).
//
//	event ──> Conversation ──> Output: writes, boxes, notices
//
// It has one owner, starts no goroutine, reads no clock and touches neither disk
// nor network. The owner commits an Output's writes before its boxes leave: so
// nothing is sent, acknowledged or shown that a crash could take back. If the
// commit fails, the owner throws the Conversation away and loads it again.
//
// Several channels can share a contact; each message carries its channel's
// number. This version opens one, [Open], beside the contact itself, 0.
//
// What becomes of a message (State):
//
//	waiting here ──> on its way ──> delivered
//	     │               │
//	     └── recalled    └──────> expired, never confirmed
//	     └──────────────────────> expired, never confirmed
//
// How a contact comes about (Stage), and how a session does:
//
//	inviter:   invited ──card──> met          m1 ──> m2 ──> m3, session
//	accepter:  accepting ──m1, m3──> met      card ──> m1 ──> m2 ──> m3, session
//	rollback, lost session ──recovery──> met, paused until both people consent
//
// Files: contact.go (what is kept of a contact), session.go (what is kept of a
// session), flights.go (handshakes), boxes.go (what comes in on a connection),
// outbox.go, inbox.go, words.go, clock.go (what time brings about), edit.go and
// burn.go (what the owner changes and deletes), codec.go; files.go (what is kept
// of a file), filesout.go, filesin.go, filetask.go (what the owner is to do on the
// disk); drops.go, mail.go, dropgone.go (boxes at drops), branches.go (on which chains
// they lie), filesboxed.go, filesreport.go (files in them), meeting.go, reunion.go, recovery.go (handshakes there), former.go (what
// is read of the session before);
// craft.go (lines of the tools of statecraft), mandate.go, mandateheld.go (of an
// envoy), mandateshown.go (of a listener); communique.go (drafts),
// communiquesign.go, communiqueview.go; introduction.go (what is kept of one, and
// time), introductionasked.go (of one who is asked), introductionmade.go (of an
// introducer); sounding.go, soundingrun.go, soundingrecord.go, soundingview.go;
// charter*.go; shuttle*.go.
package channel
