package main

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"time"
)

// tellSystemd writes a line to the socket that systemd waits at, if it started this
// process (sd_notify(3)).
func tellSystemd(state string) error {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil
	}
	if socket[0] == '@' {
		socket = "\x00" + socket[1:] // the abstract names of Linux
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return errors.New("systemd's socket cannot be reached")
	}
	_, err = c.Write([]byte(state))
	return errors.Join(err, c.Close())
}

// watchdog is the time within which systemd wants to hear from this process; zero if it
// does not.
func watchdog() time.Duration {
	micro, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if pid := os.Getenv("WATCHDOG_PID"); err != nil || micro <= 0 || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	return time.Duration(micro) * time.Microsecond
}

// notify tells systemd when the relay is ready, then that it lives: as long as its mix
// answers, and no longer.
func (s *server) notify(ctx context.Context) error {
	patience := watchdog()
	every := patience / 3
	if every == 0 {
		every = time.Hour
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for state := "READY=1"; ; state = "WATCHDOG=1" {
		asking, cancel := context.WithTimeout(ctx, every)
		_, err := s.relay.Status(asking)
		cancel()
		if err == nil {
			if err := tellSystemd(state); err != nil && state == "READY=1" {
				return err
			}
		}
		select {
		case <-ctx.Done():
			_ = tellSystemd("STOPPING=1")
			return nil
		case <-tick.C:
		}
	}
}
