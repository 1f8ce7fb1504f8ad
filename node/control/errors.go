package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/node/p2p"
	"github.com/backchannel/backchannel/node/store"
	"github.com/backchannel/backchannel/protocol/backup"
	"github.com/backchannel/backchannel/protocol/charter"
	"github.com/backchannel/backchannel/protocol/communique"
	"github.com/backchannel/backchannel/protocol/forge"
	"github.com/backchannel/backchannel/protocol/identity"
	"github.com/backchannel/backchannel/protocol/introduction"
	"github.com/backchannel/backchannel/protocol/mandate"
)

// The exit codes of the command line.
const (
	ExitDone        = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitNotRunning  = 3
	ExitLocked      = 4
	ExitNoContact   = 5
	ExitRefused     = 6
	ExitNotInTime   = 7
	ExitClosed      = 8
	ExitUnreachable = 9
	ExitCheckFailed = 10
	ExitInterrupted = 130
)

// Error is an error as a person and a script read it.
type Error struct {
	Code    string `json:"code"`
	Exit    int    `json:"exit"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// known lists what is said of each error. The text is the error's own unless one
// stands here.
var known = []struct {
	err  error
	code string
	exit int
	text string
	hint string
}{
	{node.ErrLocked, "locked", ExitLocked, "", "backchannel unlock"},
	{node.ErrResting, "locked", ExitLocked, "", "backchannel online"},
	{node.ErrOffline, "offline", ExitLocked, "", "backchannel online"},
	{node.ErrInMemory, "in_memory", ExitFailed, "", "free some space and leave the node running; then look: backchannel read"},
	{store.ErrPassphrase, "wrong_passphrase", ExitLocked, "wrong passphrase", "backchannel unlock"},
	{node.ErrStopped, "not_running", ExitNotRunning, "", "backchannel node run"},
	{store.ErrMissing, "no_vault", ExitFailed, "there is no vault on this machine yet, or it was taken away", "backchannel setup"},
	{store.ErrKeyFile, "no_key_file", ExitFailed, "the key file is not there, or it is none of this vault", "put in its medium, then: backchannel unlock"},
	{store.ErrKeyFileExists, "key_file_exists", ExitUsage, "there is a file at the place of the key file already, or the vault has one; a key file belongs to one vault alone", "name another place, or keep the one that there is: backchannel config get key-file"},
	{store.ErrKeyFileOld, "key_file_old", ExitFailed, "done; but the old secret is still in the key file, and a copy of the disk that was made before opens with it and a passphrase", "put in its medium, then: backchannel lock; backchannel online"},
	{node.ErrKeyAway, "key_file_away", ExitFailed, "", "put in its medium, then: backchannel vault passphrase"},
	{store.ErrExists, "vault_exists", ExitFailed, "there is a vault already", "backchannel status"},
	{store.ErrEmpty, "empty_passphrase", ExitUsage, "the passphrase is empty", "repeat the command, and type one"},
	{store.ErrLong, "long_passphrase", ExitUsage, "the passphrase is longer than 1024 bytes", "choose a shorter one; six words are enough"},
	{store.ErrDamaged, "vault_damaged", ExitFailed, "the vault's files are damaged; nothing was changed", "restore the vault folder from a backup, then: backchannel unlock"},
	{store.ErrNewer, "vault_newer", ExitFailed, "the vault was written by a newer version of this program", "install that version, then: backchannel unlock"},
	{store.ErrOlder, "vault_older", ExitFailed, "the vault was written by an older version of this program, whose vaults are not read any more", "move the vault folder away, then: backchannel setup"},
	{store.ErrMemory, "no_memory", ExitFailed, "there is not enough memory to open the vault; nothing was lost", "close other programs, then: backchannel unlock"},
	{store.ErrFull, "disk_full", ExitFailed, "the disk is full; nothing was lost, and nothing was sent", "free some space, then repeat the command"},
	{store.ErrLevelFull, "vault_full", ExitFailed, "the vault is full; nothing was lost, and nothing was sent", "remove messages that you do not need, or burn a conversation: backchannel burn"},
	{store.ErrSame, "same_passphrase", ExitUsage, "the two passphrases are the same", "repeat the command, and type two that differ"},
	{store.ErrTooLarge, "too_large", ExitFailed, "too much for one step", "send it in parts"},
	{node.ErrNameTaken, "name_taken", ExitUsage, "", "backchannel contact list"},
	{node.ErrBadName, "bad_name", ExitUsage, "", "repeat the command, and type a name such as Larch"},
	{node.ErrOwn, "own_invitation", ExitUsage, "", "hand it to the other person: they accept it on their machine"},
	{node.ErrTakenUp, "taken_up", ExitUsage, "", "backchannel invite list"},
	{node.ErrExpired, "expired", ExitClosed, "", "check the date of this machine, or ask for a new invitation"},
	{node.ErrNoPlace, "not_listening", ExitUnreachable, "", "give this machine's own address: backchannel node listen on --address 203.0.113.7:4127"},
	{node.ErrUnreachable, "no_place", ExitUnreachable, "", "ask them to turn listening on and to make a new one"},
	{node.ErrInvitedOnly, "not_open", ExitUsage, "", "backchannel invite list"},
	{node.ErrNoRelays, "no_network", ExitUnreachable, "", "backchannel network join network.pem"},
	{node.ErrNoView, "no_relays_known", ExitUnreachable, "", "wait until the network runs: backchannel network show"},
	{node.ErrOtherNetwork, "not_in_network", ExitUnreachable, "", "ask them for the network file, then: backchannel network join network.pem"},
	{node.ErrNoDrops, "no_drops", ExitUnreachable, "", "let both machines join the network and connect directly once, then: backchannel route show"},
	{identity.ErrNotInvitation, "not_an_invitation", ExitUsage, "", "copy the whole line, from BC1: to its end"},
	{identity.ErrTruncated, "truncated", ExitUsage, "the invitation is not complete; nothing was spent", "copy the whole line, from BC1: to its end"},
	{identity.ErrMistyped, "mistyped", ExitUsage, "the invitation has a typing error: its checksum does not fit; nothing was spent", "compare it with the original, or paste it"},
	{identity.ErrNewerInvitation, "newer_invitation", ExitUsage, "", "install the version that made it"},
	{identity.ErrPlace, "bad_address", ExitUsage, "", "give host and port: backchannel node listen on --address 203.0.113.7:4127"},
	{channel.ErrNoWords, "no_words", ExitUnreachable, "", "both machines must be online and connected once: backchannel status"},
	{channel.ErrNoSession, "no_session", ExitUnreachable, "", "backchannel invite list"},
	{channel.ErrUsedTwice, "used_twice", ExitRefused, "the invitation was used twice: somebody else may be at the other end", "backchannel contact verify"},
	{channel.ErrTooLate, "too_late", ExitRefused, "", "backchannel read"},
	{channel.ErrNoMessage, "no_message", ExitNoContact, "", "backchannel read"},
	{channel.ErrNotPaused, "not_paused", ExitUsage, "", "backchannel contact list"},
	{channel.ErrNotText, "not_text", ExitUsage, "", "send text in UTF-8"},
	{channel.ErrManyDraws, "many_draws", ExitRefused, "", "compare the words that are shown: backchannel contact verify"},
	{channel.ErrEmptyText, "empty", ExitUsage, "", "write the text after the prompt, or send it by standard input"},
	{channel.ErrTooLong, "too_long", ExitUsage, "", "send it in parts"},
	{channel.ErrRecord, "vault_damaged", ExitFailed, "the vault holds a record that cannot be read", "restore the vault folder from a backup, then: backchannel unlock"},
	{channel.ErrBusy, "busy", ExitRefused, "", "repeat the command in a moment"},
	{node.ErrKept, "not_purged", ExitFailed, "", "free some space; the node then does it by itself within a minute or two"},
	{channel.ErrNoFile, "no_file", ExitNoContact, "", "backchannel file list"},
	{channel.ErrFileOver, "file_over", ExitUsage, "", "backchannel file list"},
	{channel.ErrNotOffered, "not_offered", ExitUsage, "", "backchannel file list"},
	{channel.ErrFileName, "bad_file_name", ExitUsage, "", "rename the file, then: backchannel file send"},
	{channel.ErrFileSize, "file_too_large", ExitUsage, "", "send it in parts"},
	{channel.ErrManyFiles, "many_files", ExitRefused, "", "wait until some have arrived: backchannel file list"},
	{channel.ErrNoText, "no_text", ExitUsage, "", "backchannel read"},
	{channel.ErrNoRequest, "no_request", ExitRefused, "", "make the request on this machine, and take it to the authority: backchannel mandate request"},
	{channel.ErrNoMandate, "no_mandate", ExitNoContact, "", "backchannel mandate list"},
	{channel.ErrMandateOver, "mandate_over", ExitClosed, "", "take a new request to the authority: backchannel mandate request"},
	{channel.ErrManyMandates, "many_mandates", ExitRefused, "", "wait until some have ended: backchannel mandate list"},
	{channel.ErrNotWithdrawal, "not_withdrawal", ExitRefused, "", "backchannel mandate list"},
	{channel.ErrNoIntroduction, "no_introduction", ExitNoContact, "", "backchannel contact introductions"},
	{channel.ErrIntroductionOver, "introduction_over", ExitClosed, "", "backchannel contact introductions"},
	{channel.ErrWhichIntroduction, "which_introduction", ExitUsage, "", "give the number of one after the contact's: backchannel contact introductions"},
	{channel.ErrManyIntroductions, "many_introductions", ExitRefused, "", "wait until some have ended: backchannel contact introductions"},
	{introduction.ErrText, "introduction_text", ExitUsage, "each is told of the other in one line of 1 to 128 bytes, without invisible characters", "repeat the command, and type a line such as: a colleague of mine upstream"},
	{introduction.ErrExpiry, "introduction_time", ExitUsage, "an introduction ends between one minute and 14 days from now", "backchannel contact introduce 1 2 --life 72h"},
	{node.ErrSameContact, "same_contact", ExitUsage, "", "backchannel contact list"},
	{mandate.ErrFormat, "not_a_mandate", ExitUsage, "this is not the file that is wanted here, or it is not whole", "check which file it is, then repeat the command"},
	{mandate.ErrRefused, "mandate_refused", ExitCheckFailed, "it does not check: it was altered, or made by another key or for another machine; nothing was taken", "ask whoever made it for a new one"},
	{mandate.ErrExpired, "mandate_over", ExitClosed, "the mandate has ended, by this machine's clock", "take a new request to the authority: backchannel mandate request"},
	{mandate.ErrTerms, "bad_terms", ExitUsage, "a scope is one line of 1 to 313 bytes, and a mandate has an end", "backchannel mandate issue"},
	{channel.ErrNoCharter, "no_charter", ExitUsage, "", "backchannel channel list"},
	{channel.ErrBurned, "channel_burned", ExitClosed, "", "backchannel channel list"},
	{channel.ErrNoChannel, "no_channel", ExitNoContact, "", "backchannel channel list"},
	{channel.ErrNotAgreed, "not_agreed", ExitRefused, "", "backchannel channel list"},
	{channel.ErrCharterFiles, "no_files", ExitRefused, "", "ask for a charter that allows them: backchannel channel amend --files 10 1 2"},
	{channel.ErrCharterSize, "file_too_large", ExitRefused, "", "see how large files may be: backchannel channel list; backchannel channel amend --files 10 1 2"},
	{channel.ErrManyChannels, "many_channels", ExitRefused, "", "wait until some were burned: backchannel channel list"},
	{channel.ErrNoReceipts, "no_receipts", ExitRefused, "", "backchannel send --channel 2"},
	{channel.ErrCharterRoute, "charter_route", ExitRefused, "", "backchannel route set 1 relayed"},
	{channel.ErrCharterLine, "charter_line", ExitRefused, "", "backchannel burn --help"},
	{channel.ErrStaysSecret, "stays_secret", ExitRefused, "", "open another one: backchannel channel open --kind publishable"},
	{channel.ErrSecret, "secret_channel", ExitRefused, "", "draft it in a channel of kind publishable: backchannel channel open --kind publishable"},
	{charter.ErrTerms, "bad_charter", ExitUsage, "a name is one line of 1 to 64 bytes, a purpose one of 1 to 256, and a charter has a deadline", "backchannel channel open --help"},
	{charter.ErrDeadline, "bad_deadline", ExitUsage, "a deadline is to come, and at most 366 days away", "backchannel channel open --help"},
	{charter.ErrKind, "stays_secret", ExitRefused, "what was agreed to stay secret cannot be made publishable", "open another one: backchannel channel open"},
	{charter.ErrTooMany, "many_drafts", ExitRefused, "there were too many drafts or extensions in this channel", "open another one: backchannel channel open"},
	{charter.ErrClock, "clock_wrong", ExitRefused, "this machine's clock is wrong by what others say, or was put back; until it is set nothing is agreed on, and a channel whose deadline it says has come is not shown", "set the clock, then: backchannel channel list"},
	{charter.ErrWaiting, "draft_waits", ExitRefused, "your draft waits for their answer", "take it back first: backchannel channel amend --withdraw 1 2"},
	{charter.ErrNothing, "no_such_draft", ExitRefused, "there is no draft to answer or to take back, or it is another one than you were shown", "backchannel channel list"},
	{charter.ErrSame, "same_terms", ExitUsage, "this is what was agreed already", "backchannel channel list"},
	{charter.ErrEnded, "channel_ended", ExitClosed, "the channel was declined or closed", "open another one: backchannel channel open"},
	{charter.ErrOver, "channel_over", ExitClosed, "the deadline has passed", "backchannel channel list"},
	{channel.ErrNotPublishable, "not_publishable", ExitRefused, "", "each of you says so by a draft, or by: backchannel communique draft --agree"},
	{channel.ErrDraftLong, "too_long", ExitUsage, "", "shorten it, then: backchannel communique draft"},
	{channel.ErrOtherText, "other_text", ExitRefused, "", "backchannel communique list"},
	{channel.ErrNoDraft, "no_draft", ExitNoContact, "", "backchannel communique list"},
	{channel.ErrOtherProposal, "other_signing", ExitRefused, "", "sign that one, or end it: backchannel communique sign --leave"},
	{channel.ErrSigningTime, "bad_time", ExitUsage, "", "backchannel communique sign --until 36h"},
	{channel.ErrNoSigning, "no_signing", ExitUsage, "", "backchannel communique list"},
	{channel.ErrSignedAway, "signed_away", ExitRefused, "", "backchannel communique list"},
	{channel.ErrNotSigned, "not_signed", ExitRefused, "", "backchannel communique list"},
	{channel.ErrManyCommuniques, "many_communiques", ExitRefused, "", "save those that are signed, then burn the conversation: backchannel burn"},
	{channel.ErrSoundingTopic, "bad_topic", ExitUsage, "", "repeat the command, and type one topic a line"},
	{channel.ErrSoundingTime, "bad_time", ExitUsage, "", "backchannel sounding new --at 48h"},
	{channel.ErrSoundingWeek, "sounding_week", ExitRefused, "", "look when the next one may end: backchannel sounding show"},
	{channel.ErrSoundingOpen, "sounding_open", ExitUsage, "", "look at it: backchannel sounding show"},
	{channel.ErrSoundingNamed, "sounding_named", ExitUsage, "", "take them out first: backchannel sounding drop"},
	{channel.ErrSoundingRuns, "sounding_runs", ExitRefused, "", "backchannel sounding show"},
	{channel.ErrNoSounding, "no_sounding", ExitNoContact, "", "backchannel sounding list"},
	{channel.ErrNoCall, "no_call", ExitUsage, "", "look what is carried: backchannel shuttle show"},
	{channel.ErrOfferSealed, "offer_sealed", ExitRefused, "", "backchannel shuttle show"},
	{channel.ErrOfferLong, "bad_offer", ExitUsage, "", "shorten it, then: backchannel shuttle offer"},
	{channel.ErrCarryLong, "too_long", ExitUsage, "", "shorten it, then: backchannel shuttle offer --carry"},
	{channel.ErrShuttleTime, "bad_time", ExitUsage, "", "backchannel shuttle open 1 2 --until 48h"},
	{channel.ErrShuttleMany, "many_shuttles", ExitRefused, "", "wait until some have ended: backchannel shuttle show"},
	{channel.ErrWhichShuttle, "which_shuttle", ExitUsage, "", "give the number of one after the contact's: backchannel shuttle show"},
	{channel.ErrNoShuttle, "no_shuttle", ExitNoContact, "", "backchannel shuttle show"},
	{channel.ErrNotReady, "not_ready", ExitRefused, "", "backchannel shuttle show"},
	{channel.ErrNotHeld, "no_held_text", ExitNoContact, "", "backchannel shuttle show"},
	{channel.ErrReleased, "released", ExitRefused, "", "backchannel shuttle show"},
	{channel.ErrShuttleOver, "shuttle_over", ExitClosed, "", "backchannel shuttle open 1 2 --until 48h"},
	{channel.ErrShuttleSelf, "one_contact", ExitUsage, "", "backchannel contact list"},
	{channel.ErrShuttleSubject, "bad_subject", ExitUsage, "", "repeat the command, and type a shorter one"},
	{communique.ErrTextLength, "bad_text", ExitUsage, "the text is empty or too long", "backchannel communique draft"},
	{communique.ErrTextForm, "bad_text", ExitUsage, "the text has an invisible character, or a line that begins like a signature; such a text cannot be signed", "type it anew without it: backchannel communique draft"},
	{communique.ErrLineEndings, "line_endings", ExitCheckFailed, "the line endings were changed on the way, by a mail program or a browser", "get the file as it was published, then: backchannel communique verify"},
	{communique.ErrFormat, "not_a_communique", ExitCheckFailed, "this is no communiqué, or it is not whole", "get the file as it was published, then: backchannel communique verify"},
	{communique.ErrSignature, "bad_signature", ExitCheckFailed, "BAD: a signature does not fit this text; it was altered, or never signed by this key", "get the file as it was published, then: backchannel communique verify"},
	{communique.ErrKey, "bad_signature", ExitCheckFailed, "BAD: a key in the file is none, or stands in it twice", "get the file as it was published, then: backchannel communique verify"},
	{communique.ErrExpired, "signing_over", ExitClosed, "the signing has expired", "backchannel communique list"},
	{node.ErrPlaceTaken, "file_exists", ExitUsage, "", "repeat the command, and give another name"},
	{node.ErrLongName, "long_name", ExitUsage, "", "repeat the command, and give a shorter name"},
	{node.ErrNoFolder, "no_folder", ExitFailed, "", "repeat the command, and name a folder that you may write to"},
	{node.ErrNoRoom, "no_room", ExitFailed, "", "free some space, or name a folder on another disk"},
	{node.ErrFileSlow, "file_too_slow", ExitRefused, "", "send a smaller one, or let this contact see the address of this machine: backchannel route set 1 both"},
	{node.ErrNotRegular, "not_a_file", ExitUsage, "", "send a file; put a folder into an archive first"},
	{node.ErrUnreadable, "unreadable", ExitFailed, "", "check its name and that the node may read it"},
	{node.ErrMoved, "moved", ExitRefused, "", "open it on the other machine; if it was never opened there: backchannel move cancel"},
	{node.ErrNotMoved, "not_moved", ExitUsage, "", "backchannel unlock"},
	{node.ErrRolledBack, "rolled_back", ExitRefused, "", "backchannel unlock"},
	{backup.ErrSize, "not_whole", ExitCheckFailed, "the file is not whole, or is no file of this program: it has not the size of one", "take another copy of it"},
	{backup.ErrSecret, "wrong_secret", ExitLocked, "the file does not open: the passphrase or the key file is wrong, or the file's beginning is damaged", "try again, or take another copy of the file"},
	{backup.ErrNewer, "newer_backup", ExitFailed, "the file was made by a newer version of this program", "install that version, and repeat the command"},
	{backup.ErrDamaged, "damaged_backup", ExitCheckFailed, "the file is damaged: the passphrase is right, and a part of it was changed", "take another copy of it"},
	{backup.ErrFormat, "damaged_backup", ExitCheckFailed, "the file opens, but what is inside cannot be read", "make a new one: backchannel backup make"},
	{backup.ErrTooLarge, "too_large", ExitFailed, "the vault is too large to be moved in one file", "burn what is not needed, then repeat the command"},
	{backup.ErrPassphrase, "long_passphrase", ExitUsage, "a passphrase has 1 to 1024 bytes", "choose a shorter one; ten words are enough"},
	{p2p.ErrAddressInUse, "port_in_use", ExitUnreachable, "another program uses the port to listen on", "end that program, or take another port: backchannel node listen on --address 203.0.113.7:4128"},
	{p2p.ErrPairExists, "already_accepted", ExitUsage, "this invitation was accepted on this machine already", "backchannel contact list"},
	{p2p.ErrAddress, "bad_listen", ExitUsage, "the address to listen on is malformed", "give one of this machine: backchannel node listen on --bind 0.0.0.0"},
	{p2p.ErrProxy, "bad_proxy", ExitUsage, "the proxy must be socks5://host:port", "backchannel node listen --proxy socks5://127.0.0.1:9050"},
	{forge.ErrScript, "bad_script", ExitUsage, "", "make it in parts"},
	{forge.ErrStructure, "bad_structure", ExitCheckFailed, "", "ask for the file once more"},
	{forge.ErrKeys, "bad_keys", ExitCheckFailed, "", "ask for the file once more"},
	{forge.ErrTimes, "bad_times", ExitCheckFailed, "", "ask for the file once more"},
	{context.DeadlineExceeded, "timeout", ExitNotInTime, "it took too long to be sure; it may be done, or still be under way", "look before you repeat it: backchannel status"},
	{context.Canceled, "interrupted", ExitInterrupted, "interrupted", ""},
}

// Describe turns any error into one that can be shown. What it does not know it
// calls by its own text: no error of ours carries a secret or a name.
func Describe(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	var none *node.NoContactError
	if errors.As(err, &none) {
		e := &Error{Code: "no_contact", Exit: ExitNoContact, Message: err.Error(), Hint: "backchannel contact list"}
		if none.Nearest != "" {
			e.Message += "; did you mean " + none.Nearest + "?"
		}
		return e
	}
	var early *channel.SoundingTimeError
	if errors.As(err, &early) {
		return &Error{Code: "bad_time", Exit: ExitUsage, Message: err.Error(), Hint: "backchannel sounding new --at 48h"}
	}
	var used *store.InUseError
	if errors.As(err, &used) {
		return inUse(used.PID, stamp(used.Started))
	}
	for _, k := range known {
		if errors.Is(err, k.err) {
			text := k.text
			if text == "" {
				text = k.err.Error()
			}
			return &Error{Code: k.code, Exit: k.exit, Message: text, Hint: k.hint}
		}
	}
	return &Error{Code: "failed", Exit: ExitFailed, Message: withoutPath(err)}
}

// inUse names the process that has the vault open, and since when by the clock on
// the wall.
func inUse(pid int, started string) *Error {
	if t, err := time.Parse(time.RFC3339, started); err == nil {
		started = t.Local().Format("2 Jan 15:04")
	}
	return &Error{
		Code: "in_use", Exit: ExitFailed,
		Message: fmt.Sprintf("another backchannel (process %d, started %s) has this vault open", pid, started),
		Hint:    "backchannel node stop",
	}
}

// ErrNotRunning is returned by a client that finds no node.
var ErrNotRunning = &Error{Code: "not_running", Exit: ExitNotRunning, Message: "no node is running here", Hint: "backchannel node run"}

// ErrBrokenOff is returned by a client whose node ended, or let the connection go,
// before it had answered.
var ErrBrokenOff = &Error{Code: "failed", Exit: ExitFailed, Message: "the node broke the call off", Hint: "backchannel status"}

// withoutPath is the text of an error less the paths and addresses that errors of
// the system carry: a home folder may hold a name.
func withoutPath(err error) string {
	var file *fs.PathError
	var link *os.LinkError
	var network *net.OpError
	switch {
	case errors.As(err, &file):
		return "a file could not be used (" + file.Op + "): " + bare(file.Err)
	case errors.As(err, &link):
		return "a file could not be renamed: " + bare(link.Err)
	case errors.As(err, &network):
		return "the network could not be used: " + bare(network.Err)
	default:
		return err.Error()
	}
}

func bare(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	return "input or output error"
}
