package control

import (
	"context"
	"net/http"
)

type (
	// PassphraseRequest gives the vault other passphrases: the first opens what is open
	// now, each further one less.
	PassphraseRequest struct {
		Present     []byte   `json:"present"`
		Passphrases [][]byte `json:"passphrases"`
	}
	// KeyFileRequest gives the vault a key file.
	KeyFileRequest struct {
		Path string `json:"path"` // from the root on
	}
	// VaultAnswer is how full what is open is.
	VaultAnswer struct {
		V       int   `json:"v"`
		Size    int64 `json:"size"` // bytes of the vault on the disk
		Room    int64 `json:"room"` // bytes that a compartment has, if there is one or more
		Used    int64 `json:"used"`
		Percent int64 `json:"percent"` // of the room
	}
)

// vaultRoutes are the calls about the vault itself.
func (s *Server) vaultRoutes(mux *http.ServeMux) {
	handle(mux, "vault/passphrase", func(ctx context.Context, r PassphraseRequest) (Done, error) {
		defer func() {
			clear(r.Present)
			for _, p := range r.Passphrases {
				clear(p)
			}
		}()
		return done, s.node.Rekey(ctx, r.Present, r.Passphrases...)
	})
	handle(mux, "vault/key-file", func(ctx context.Context, r KeyFileRequest) (Done, error) {
		return done, s.node.TakeKeyFile(ctx, r.Path)
	})
	handle(mux, "vault/info", func(ctx context.Context, _ Empty) (VaultAnswer, error) {
		info, err := s.node.VaultInfo(ctx)
		if err != nil {
			return VaultAnswer{}, err
		}
		return VaultAnswer{Version, info.Size, info.Room, info.Used, info.Used * 100 / max(info.Room, 1)}, nil
	})
}
