package p2p

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestTheEndIsNoReset looks at the stranger's socket after our side has closed it
// for good: still half-open, not reset, although it had sent what nobody wanted.
func TestTheEndIsNoReset(t *testing.T) {
	_, pb := pairOf(1)
	n := started(t, Config{Listen: loopback, HandshakeTimeout: 300 * time.Millisecond}, pb)
	var wait sync.WaitGroup
	for _, size := range []int{1, openingSize, openingSize + 1, 2000, openingSize + 48<<10} {
		wait.Go(func() {
			c, err := net.Dial("tcp", n.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_, _ = c.Write(random(size))
			if got, err := io.ReadAll(c); len(got) != 0 || err != nil {
				t.Errorf("%d bytes: got %d and %v", size, len(got), err)
			}
			<-time.After(2 * farewellTime) // there is no event for a reset that does not come
			if state := tcpState(t, c); state != closeWait {
				t.Errorf("%d bytes: the socket is in state %d, want CLOSE-WAIT", size, state)
			}
		})
	}
	wait.Wait()
}

// closeWait is Linux's number for a connection whose other end has sent a FIN.
const closeWait = 8

func tcpState(t *testing.T, c net.Conn) (state uint8) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Error(err)
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			t.Error(err)
			return
		}
		state = info.State
	})
	return state
}
