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
	route, err := s.node.Route(ctx, r.Name)
	a := FilesAnswer{V: Version, Contact: contactOf(route.Contact, s.now()), Files: []File{}}
	for _, f := range list {
		a.Files = append(a.Files, fileOf(f, route))
	}
	return a, err
}

// fileAnswer is what there is to say of one file of a contact.
func (s *Server) fileAnswer(ctx context.Context, contact string, f channel.FileView, err error) (FileAnswer, error) {
	if err != nil {
		return FileAnswer{}, err
	}
	route, err := s.node.Route(ctx, contact)
	return FileAnswer{Version, fileOf(f, route)}, err
}
