// SPDX-License-Identifier: Apache-2.0

package datadir

import (
	"net"
	"os/user"
	"strconv"
	"syscall"
)

// Peer returns who is at the other end of a connection to the socket: the name of
// the user, or "uid:N" where the system has none for it; "" where nobody can say.
func Peer(c net.Conn) string {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return ""
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return ""
	}
	var cred *syscall.Ucred
	var cerr error
	err = raw.Control(func(fd uintptr) {
		cred, cerr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err != nil || cerr != nil {
		return ""
	}
	id := strconv.FormatUint(uint64(cred.Uid), 10)
	if known, err := user.LookupId(id); err == nil {
		return known.Username
	}
	return "uid:" + id
}
