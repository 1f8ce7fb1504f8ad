package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/backchannel/backchannel/node"
	"github.com/backchannel/backchannel/node/channel"
	"github.com/backchannel/backchannel/protocol/forge"
	"github.com/backchannel/backchannel/protocol/identity"
)

const (
	// maxBody bounds a request: the longest text, twice over for JSON's escapes,
	// or a long script to forge.
	maxBody = 4 << 20
	// writeTimeout ends a follow whose reader has stopped.
	writeTimeout = 30 * time.Second
	// maxConnections bounds the clients at one time.
	maxConnections = 64
)

// Server answers the local interface for one node.
type Server struct {
	node     *node.Node
	version  string
	started  time.Time
	now      func() time.Time
	stop     context.CancelFunc
	listener net.Listener
	lock     io.Closer
}

// Listen takes the socket. If a node is running there already, the error names
// its process. The folder is made with mode 0700, the socket with 0600.
func Listen(n *node.Node, socket, version string) (*Server, error) {
	dir := filepath.Dir(socket)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, plain(err)
	}
	if err := private(dir, socket); err != nil {
		return nil, err
	}
	lock, err := takeLock(socket + ".lock")
	if err != nil {
		return nil, running(socket)
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		_ = lock.Close()
		return nil, plain(err)
	}
	listener, err := listenPrivately(socket)
	if err != nil {
		_ = lock.Close()
		return nil, plain(err)
	}
	return &Server{node: n, version: version, started: time.Now(), now: time.Now, listener: listener, lock: lock}, nil
}

// private makes sure that nobody else can enter the folder, and that nothing but
// a socket is replaced. It closes a folder of its own name; any other, which may
// be shared, it refuses.
func private(dir, socket string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return plain(err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		own := filepath.Base(dir) == "run" || filepath.Base(dir) == "backchannel"
		if !own || info.Mode()&fs.ModeSticky != 0 || os.Chmod(dir, 0o700) != nil {
			return &Error{
				Code: "open_folder", Exit: ExitFailed, Message: "others may enter the folder of the control socket",
				Hint: "put the socket into a folder of its own, with mode 0700",
			}
		}
	}
	if info, err := os.Lstat(socket); err == nil && info.Mode()&fs.ModeSocket == 0 {
		return &Error{
			Code: "no_socket", Exit: ExitFailed, Message: "there is a file where the control socket should be",
			Hint: "move it away, or put the socket elsewhere",
		}
	}
	return nil
}

// running describes the node that holds the socket.
func running(socket string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var s StatusAnswer
	if err := NewClient(socket).Call(ctx, "status", Empty{}, &s); err != nil {
		return &Error{Code: "in_use", Exit: ExitFailed, Message: "another backchannel is starting or stopping here", Hint: "backchannel status"}
	}
	return inUse(s.PID, s.Started)
}

// plain drops the path from a file error: a home folder may hold a name.
func plain(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return &Error{Code: "no_folder", Exit: ExitFailed, Message: "preparing the folder of the control socket: " + pathError.Err.Error(), Hint: "check that the folder given by --home can be written"}
	}
	var opError *net.OpError
	if errors.As(err, &opError) {
		return &Error{Code: "no_socket", Exit: ExitFailed, Message: "opening the control socket: " + opError.Err.Error(), Hint: "choose a shorter path: backchannel --home DIR node run"}
	}
	return err
}

// Run serves until ctx is done or a client asked the node to stop.
func (s *Server) Run(ctx context.Context) error {
	ctx, s.stop = context.WithCancel(ctx)
	defer s.stop()
	server := &http.Server{
		Handler: s.routes(), BaseContext: func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, MaxHeaderBytes: 8 << 10,
		ErrorLog: log.New(io.Discard, "", 0), // it would print stacks into the node's terminal
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(limit(s.listener, maxConnections)) }()
	var err error
	select {
	case <-ctx.Done():
		grace, cancel := context.WithTimeout(context.Background(), time.Second)
		_ = server.Shutdown(grace)
		cancel()
		err = errors.Join(server.Close())
		if served := <-done; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
	case err = <-done:
	}
	_ = s.lock.Close()
	return err
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	n := s.node
	handle(mux, "status", s.status)
	handle(mux, "unlock", func(ctx context.Context, r UnlockRequest) (Done, error) {
		defer clear(r.Passphrase)
		return done, n.UnlockWith(ctx, r.Passphrase, r.KeyFile)
	})
	handle(mux, "online", func(ctx context.Context, _ Empty) (Done, error) { return done, n.GoOnline(ctx) })
	handle(mux, "lock", func(context.Context, Empty) (Done, error) { n.Lock(); return done, nil })
	handle(mux, "stop", func(context.Context, Empty) (Done, error) {
		time.AfterFunc(50*time.Millisecond, s.stop) // after the answer
		return done, nil
	})
	handle(mux, "invite/new", s.invite)
	handle(mux, "invite/accept", s.accept)
	handle(mux, "invite/cancel", func(ctx context.Context, r NameRequest) (Done, error) { return done, n.Cancel(ctx, r.Name) })
	handle(mux, "contact/list", s.contacts)
	handle(mux, "contact/show", s.contact)
	handle(mux, "contact/words", s.words)
	handle(mux, "contact/compare", s.compare)
	handle(mux, "contact/resume", func(ctx context.Context, r NameRequest) (Done, error) { return done, n.Consent(ctx, r.Name) })
	handle(mux, "send", func(ctx context.Context, r SendRequest) (MessageAnswer, error) {
		m, err := n.SendIn(ctx, r.Name, max(r.Channel, channel.Open), r.Text)
		return MessageAnswer{V: Version, Message: messageOf("", m)}, err
	})
	handle(mux, "recall", func(ctx context.Context, r RecallRequest) (Done, error) { return done, n.Recall(ctx, r.Name, r.Seq) })
	handle(mux, "read", s.read)
	handle(mux, "forge", s.forge)
	handle(mux, "file/send", func(ctx context.Context, r FileSendRequest) (FileAnswer, error) {
		f, err := n.SendFileIn(ctx, r.Name, max(r.Channel, channel.Open), r.Path, r.As)
		return s.fileAnswer(ctx, r.Name, f, err)
	})
	handle(mux, "file/list", s.files)
	handle(mux, "file/show", func(ctx context.Context, r FileRequest) (FileAnswer, error) {
		f, err := n.File(ctx, r.Name, r.Seq)
		return s.fileAnswer(ctx, r.Name, f, err)
	})
	handle(mux, "file/take", func(ctx context.Context, r FileTakeRequest) (Done, error) {
		return done, n.TakeFile(ctx, r.Name, r.Seq, r.Path)
	})
	handle(mux, "file/remove", func(ctx context.Context, r FileRequest) (Done, error) { return done, n.RemoveFile(ctx, r.Name, r.Seq) })
	s.talkRoutes(mux)
	s.vaultRoutes(mux)
	s.routeRoutes(mux)
	s.backupRoutes(mux)
	s.mandateRoutes(mux)
	s.communiqueRoutes(mux)
	s.channelRoutes(mux)
	s.introductionRoutes(mux)
	s.soundingRoutes(mux)
	s.shuttleRoutes(mux)
	mux.HandleFunc("POST /v1/follow", s.follow)
	s.logRoutes(mux)
	return mux
}

var done = Done{Version}

// handle registers a call: it parses the request strictly, within its bound, and
// writes the answer or the error.
func handle[Request, Answer any](mux *http.ServeMux, name string, f func(context.Context, Request) (Answer, error)) {
	mux.HandleFunc("POST /v1/"+name, func(w http.ResponseWriter, r *http.Request) {
		var request Request
		if err := decode(w, r, &request); err != nil {
			fail(w, err)
			return
		}
		answer, err := f(r.Context(), request)
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	})
}

func decode(w http.ResponseWriter, r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil || d.More() {
		return &Error{Code: "bad_request", Exit: ExitUsage, Message: "the request is malformed or too large"}
	}
	return nil
}

func fail(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusConflict)
	_ = json.NewEncoder(w).Encode(FollowLine{V: Version, Error: Describe(err)})
}

func (s *Server) status(ctx context.Context, _ Empty) (StatusAnswer, error) {
	st, err := s.node.Status(ctx)
	a := StatusAnswer{
		V: Version, State: Word(st.Condition.String()), PID: os.Getpid(), Started: stamp(s.started), Version: s.version,
		LocksAt: stamp(st.LocksAt), DiskFull: st.Full, VaultFull: st.Crammed, Online: st.Online, Listening: st.Listening, Address: st.Settings.Address,
		Proxy: st.Settings.Proxy != "", LastBackup: stamp(st.Backup.Made), NotBackedUp: st.Backup.Lacking,
	}
	if st.Failed != nil {
		e := Describe(st.Failed)
		a.Failed, a.FailedCode = e.Message, e.Code
	}
	a.RelayNetwork, a.Cover = relayNetworkOf(st.Mail), st.Cover
	for _, v := range st.Contacts {
		a.Contacts = append(a.Contacts, contactOf(v, s.now()))
	}
	return a, err
}

func (s *Server) invite(ctx context.Context, r InviteRequest) (InviteAnswer, error) {
	text, v, err := s.node.Invite(ctx, r.Name, time.Duration(r.Seconds)*time.Second, r.Strict, r.Direct)
	return InviteAnswer{Version, text, contactOf(v, s.now())}, err
}

func (s *Server) accept(ctx context.Context, r AcceptRequest) (ContactAnswer, error) {
	v, err := s.node.Accept(ctx, r.Name, r.Invitation)
	return ContactAnswer{Version, contactOf(v, s.now())}, err
}

func (s *Server) contacts(ctx context.Context, _ Empty) (ContactsAnswer, error) {
	views, err := s.node.Contacts(ctx)
	a := ContactsAnswer{V: Version, Contacts: []Contact{}}
	for _, v := range views {
		a.Contacts = append(a.Contacts, contactOf(v, s.now()))
	}
	return a, err
}

func (s *Server) contact(ctx context.Context, r NameRequest) (ContactAnswer, error) {
	v, err := s.node.Contact(ctx, r.Name)
	return ContactAnswer{Version, contactOf(v, s.now())}, err
}

func (s *Server) words(ctx context.Context, r WordsRequest) (WordsAnswer, error) {
	if r.Renew {
		if err := s.node.RenewWords(ctx, r.Name); err != nil {
			return WordsAnswer{}, err
		}
	}
	sp, err := s.node.Words(ctx, r.Name)
	if err != nil {
		return WordsAnswer{}, err
	}
	words := sp.Words()
	return WordsAnswer{Version, words[:], sp.Digits()}, nil
}

func (s *Server) compare(ctx context.Context, r CompareRequest) (CompareAnswer, error) {
	heard := channel.Heard{Digits: r.Digits}
	if r.Digits == "" && len(r.Words) != identity.WordCount {
		return CompareAnswer{}, &Error{Code: "bad_request", Exit: ExitUsage, Message: "three words are compared"}
	}
	copy(heard.Words[:], r.Words)
	v, err := s.node.Compare(ctx, r.Name, heard)
	return CompareAnswer{Version, v.Match, v.Fit[:], v.Left}, err
}

func (s *Server) read(ctx context.Context, r ReadRequest) (ReadAnswer, error) {
	list, err := s.node.ReadIn(ctx, r.Name, max(r.Channel, channel.Open), r.After)
	if err != nil {
		return ReadAnswer{}, err
	}
	v, err := s.node.Contact(ctx, r.Name)
	a := ReadAnswer{V: Version, Contact: contactOf(v, s.now()), Messages: []Message{}}
	for _, m := range list {
		a.Messages = append(a.Messages, messageOf("", m))
	}
	return a, err
}

func (s *Server) forge(ctx context.Context, r ForgeRequest) (ForgeAnswer, error) {
	var lines []forge.Line
	for _, l := range r.Lines {
		lines = append(lines, forge.Line{FromPeer: l.FromPeer, Minute: l.Minute, Text: l.Text})
	}
	if lines == nil {
		var err error
		if lines, err = s.storedLines(ctx, r); err != nil {
			return ForgeAnswer{}, err
		}
	}
	t, err := s.node.Forge(ctx, r.Name, r.OwnName, lines)
	if err != nil {
		return ForgeAnswer{}, err
	}
	return ForgeAnswer{Version, t.Append(nil)}, nil
}

// follow streams messages until the client leaves, the node locks or rests.
func (s *Server) follow(w http.ResponseWriter, r *http.Request) {
	var request ReadRequest
	if err := decode(w, r, &request); err != nil {
		fail(w, err)
		return
	}
	list, events, err := s.node.FollowIn(r.Context(), request.Name, max(request.Channel, channel.Open), request.After)
	if err != nil {
		fail(w, err)
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{})
	out := json.NewEncoder(w)
	line := func(contact string, m channel.Message) bool {
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
		shown := messageOf(contact, m)
		return out.Encode(FollowLine{V: Version, Message: &shown}) == nil && control.Flush() == nil
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	_ = control.Flush()
	for _, m := range list {
		if !line("", m) {
			return
		}
	}
	rest := time.NewTicker(time.Second)
	defer rest.Stop()
	for {
		select {
		case e, open := <-events:
			if !open {
				_ = out.Encode(FollowLine{V: Version, Error: s.whyEnded(r.Context())})
				return
			}
			if !line(e.Contact, e.Message) {
				return
			}
		case <-rest.C:
			if s.node.Resting() {
				_ = out.Encode(FollowLine{V: Version, Error: Describe(node.ErrResting)})
				return
			}
		}
	}
}

// whyEnded says why the node closed a follow: it locked, or the reader was behind.
func (s *Server) whyEnded(ctx context.Context) *Error {
	if st, err := s.node.Status(ctx); err == nil && st.Condition != node.Locked {
		return &Error{Code: "behind", Exit: ExitFailed, Message: "too much came at once to follow", Hint: "repeat the command"}
	}
	return Describe(node.ErrLocked)
}
