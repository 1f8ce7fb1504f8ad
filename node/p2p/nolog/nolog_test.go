package nolog_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/gologshim"
	"github.com/libp2p/go-libp2p/p2p/canonicallog"
	ma "github.com/multiformats/go-multiaddr"

	_ "github.com/backchannel/backchannel/node/p2p/nolog"
)

const childEnv = "NOLOG_TEST_CHILD"

// TestMain runs as a process that logs what libp2p logs, if the environment says so.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		canonicallog.LogPeerStatus(1, peer.ID("someone"), ma.StringCast("/ip4/192.0.2.7/tcp/4127"))
		gologshim.Logger("net/identify").Error("someone")
		fmt.Println("logged")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestNothingIsLogged asks for all of libp2p's logs by the environment, in a process of
// its own, because that is read only once.
func TestNothingIsLogged(t *testing.T) {
	for _, level := range []string{"", "debug", "error,canonical-log=info", "nonsense"} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"=1", "GOLOG_LOG_LEVEL="+level)
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != "logged\n" {
			t.Errorf("with level %q: %v, %q", level, err, out)
		}
	}
}
