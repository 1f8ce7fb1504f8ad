package control

import (
	"context"
	"net/http"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/backup"
	"github.com/backchannel/backchannel/protocol/secret"
)

type (
	// BackupRequest holds what seals a backup.
	BackupRequest struct {
		Passphrase []byte `json:"passphrase"`
		Second     []byte `json:"second,omitempty"` // 32 bytes, or none
	}
	// BackupAnswer holds a sealed backup, and what is in it.
	BackupAnswer struct {
		V        int             `json:"v"`
		File     []byte          `json:"file"`
		Made     string          `json:"made"`
		Contacts []BackupContact `json:"contacts"`
		LeftOut  int             `json:"invitations_left_out"`
	}
	// BackupContact is a contact as a backup holds it.
	BackupContact struct {
		Number     uint32 `json:"number"`
		Name       string `json:"name"`
		Verified   Word   `json:"verified"` // see channel.Mark
		VerifiedAt string `json:"verified_at,omitempty"`
		UsedTwice  bool   `json:"invitation_used_twice,omitempty"`
		Made       string `json:"made"`
		OnlyRoute  Word   `json:"only_route,omitempty"` // as of a Contact
	}
	// BackedUpRequest says that a backup was written, and of whom.
	BackedUpRequest struct {
		Made    string   `json:"made"`
		Numbers []uint32 `json:"numbers"`
	}
)

// backupRoutes are the calls of a backup: one seals it, the other says that it was
// written to its place.
func (s *Server) backupRoutes(mux *http.ServeMux) {
	handle(mux, "backup/make", func(ctx context.Context, r BackupRequest) (BackupAnswer, error) {
		defer clear(r.Passphrase)
		defer clear(r.Second)
		secrets := backup.Secrets{Passphrase: r.Passphrase}
		switch len(r.Second) {
		case 0:
		case secret.Size:
			secrets.Second = secret.FromBytes(r.Second)
			defer secrets.Second.Wipe()
		default:
			return BackupAnswer{}, &Error{Code: "bad_request", Exit: ExitUsage, Message: "a second secret has 32 bytes"}
		}
		b, err := s.node.MakeBackup(ctx, secrets)
		if err != nil {
			return BackupAnswer{}, err
		}
		return backupAnswer(b), nil
	})
	handle(mux, "backup/written", func(ctx context.Context, r BackedUpRequest) (Done, error) {
		made, err := time.Parse(time.RFC3339, r.Made)
		if err != nil {
			return Done{}, &Error{Code: "bad_request", Exit: ExitUsage, Message: "the time is malformed"}
		}
		return done, s.node.BackedUp(ctx, uint32(made.Unix()/60), r.Numbers)
	})
}

func backupAnswer(b node.Backed) BackupAnswer {
	return BackupAnswer{V: Version, File: b.File, Made: minuteStamp(b.Content.Made), Contacts: BackupContacts(b.Content), LeftOut: b.LeftOut}
}

// BackupContacts lists the contacts of a backup as they are shown.
func BackupContacts(b *backup.Backup) []BackupContact {
	list := []BackupContact{}
	for _, c := range b.Contacts {
		shown := BackupContact{
			Number: c.Number, Name: c.Name, Verified: Word(channel.Mark(c.Mark).String()), UsedTwice: c.UsedTwice, Made: minuteStamp(c.Made),
			OnlyRoute: onlyRoute(channel.RestoredRoute(&c)),
		}
		if c.MarkedAt != 0 {
			shown.VerifiedAt = minuteStamp(c.MarkedAt)
		}
		list = append(list, shown)
	}
	return list
}

func minuteStamp(m uint32) string { return stamp(time.Unix(int64(m)*60, 0)) }

// MadeAt is how a backup's time is written.
func MadeAt(b *backup.Backup) string { return minuteStamp(b.Made) }
