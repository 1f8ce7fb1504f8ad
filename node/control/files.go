package control

import (
	"context"

	"github.com/backchannel/backchannel/node/channel"
)

func (s *Server) files(ctx context.Context, r FilesRequest) (FilesAnswer, error) {
	list, err := s.node.FilesIn(ctx, r.Name, max(r.Channel, channel.Open))
	if r.All {
		list, err = s.node.Files(ctx, r.Name)
	}
	if err != nil {
		return FilesAnswer{}, err
	}
	v, err := s.node.Contact(ctx, r.Name)
	a := FilesAnswer{V: Version, Contact: contactOf(v, s.now()), Files: []File{}}
	for _, f := range list {
		a.Files = append(a.Files, fileOf(f))
	}
	return a, err
}
