package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

// maxAnswer bounds what a client reads of one answer.
const maxAnswer = 256 << 20

// Client talks to the node behind a socket.
type Client struct{ http http.Client }

// NewClient returns a client; it does not connect yet.
func NewClient(socket string) *Client {
	return &Client{http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}}
}

// Call makes one call and parses its answer. Errors are of type [*Error].
func (c *Client) Call(ctx context.Context, name string, request, answer any) error {
	body, err := c.open(ctx, name, request)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(answer); err != nil {
		return broken(ctx, err)
	}
	return nil
}

// Follow calls each for every message, until each returns false, ctx is done, or
// the node ends it; the error then says why.
func (c *Client) Follow(ctx context.Context, request ReadRequest, each func(Message) bool) error {
	body, err := c.open(ctx, "follow", request)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	for lines := json.NewDecoder(body); ; {
		var line FollowLine
		if err := lines.Decode(&line); err != nil {
			return broken(ctx, err)
		}
		if line.Error != nil {
			return line.Error
		}
		if line.Message != nil && !each(*line.Message) {
			return nil
		}
	}
}

func (c *Client) open(ctx context.Context, name string, request any) (io.ReadCloser, error) {
	raw, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encoding the request: %w", err)
	}
	defer clear(raw)
	// The host means nothing: the transport always dials the socket.
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://node/v1/"+name, bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		var dial *net.OpError
		switch {
		case ctx.Err() != nil:
			return nil, Describe(ctx.Err())
		case errors.As(err, &dial) && dial.Op == "dial":
			return nil, ErrNotRunning
		default:
			return nil, ErrBrokenOff
		}
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer func() { _ = answer.Body.Close() }()
	var line FollowLine
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(&line); err != nil || line.Error == nil {
		return nil, &Error{Code: "failed", Exit: ExitFailed, Message: "the node did not understand this command", Hint: "restart it: backchannel node stop; backchannel node run"}
	}
	return nil, line.Error
}

// broken describes a connection to the node that ended.
func broken(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return Describe(ctx.Err())
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &Error{Code: "not_running", Exit: ExitNotRunning, Message: "the node has stopped", Hint: "backchannel node run"}
	default:
		return &Error{Code: "failed", Exit: ExitFailed, Message: "the answer of the node cannot be read"}
	}
}
