package harden

import "golang.org/x/sys/unix"

// LockMemory keeps all that the process has in memory out of swap, if the system
// allows that without limit. A part of it cannot be locked: the runtime and the
// libraries copy keys to where they like, and to lock up to a limit would end the
// program when its memory grows. Pages count when they are used, not before.
func LockMemory() {
	if mayLock() {
		_ = unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
	}
}

// mayLock reports whether no limit holds for locked memory, after raising the one that
// the process may raise itself.
func mayLock() bool {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit) == nil && limit.Max == unix.RLIM_INFINITY {
		limit.Cur = limit.Max
		return unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit) == nil
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	return unix.Capget(&header, &caps[0]) == nil && caps[0].Effective&(1<<unix.CAP_IPC_LOCK) != 0
}
