package control

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

func (s *Server) files(ctx context.Context, r NameRequest) (FilesAnswer, error) {
	list, err := s.node.Files(ctx, r.Name)
	a := FilesAnswer{V: Version, Files: []File{}}
	for _, f := range list {
		a.Files = append(a.Files, fileOf(f))
	}
	return a, err
}

// fileContent writes the bytes of a file that came whole. An answer that ends
// before the file's size was cut off by an error.
func (s *Server) fileContent(w http.ResponseWriter, r *http.Request) {
	var request FileRequest
	if err := decode(w, r, &request); err != nil {
		fail(w, err)
		return
	}
	control := http.NewResponseController(w)
	for offset := uint64(0); ; {
		b, err := s.node.FileContent(r.Context(), request.Name, request.Seq, offset)
		switch {
		case err != nil && offset == 0:
			fail(w, err)
			return
		case err != nil:
			panic(http.ErrAbortHandler) // the connection ends in the middle of the answer
		case len(b) == 0:
			return
		}
		if offset == 0 {
			w.Header().Set("Content-Type", "application/octet-stream")
		}
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := w.Write(b); err != nil {
			return
		}
		offset += uint64(len(b))
	}
}

// Content copies the content of a file that came whole to w.
func (c *Client) Content(ctx context.Context, request FileRequest, size uint64, w io.Writer) error {
	body, err := c.open(ctx, "file/content", request)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	from := &readErrors{Reader: body}
	n, err := io.Copy(w, io.LimitReader(from, int64(size)+1))
	switch {
	case from.err != nil:
		return broken(ctx, from.err)
	case err != nil:
		return err // of w
	case uint64(n) != size:
		return broken(ctx, io.ErrUnexpectedEOF)
	}
	return nil
}

// readErrors tells the errors of a reader from those of the writer in a copy.
type readErrors struct {
	io.Reader
	err error
}

// Read implements io.Reader.
func (r *readErrors) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err //nolint:wrapcheck // the reader's own
}
