// SPDX-License-Identifier: Apache-2.0

package datadir

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// maxSocketPath is what every system's sockaddr_un holds, its NUL aside.
const maxSocketPath = 103

// ListenSocket listens on the owner's socket, which only this user can reach.
func (d *Dir) ListenSocket() (net.Listener, error) {
	path, err := SocketPath(d.Path, "docket.sock")
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

// DialSocket connects to the owner's socket.
func DialSocket(ctx context.Context, dir string) (net.Conn, error) {
	path := filepath.Join(dir, "docket.sock")
	if target, err := os.Readlink(path); err == nil {
		path = target
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", path)
}

// SocketPath returns where to listen for the socket called name of dir. Where
// dir/name is longer than a socket's path may be, that is a new short directory
// of its own, and dir/name becomes a symbolic link to it.
func SocketPath(dir, name string) (string, error) {
	path := filepath.Join(dir, name)
	if target, err := os.Readlink(path); err == nil {
		os.RemoveAll(filepath.Dir(target))
	}
	os.Remove(path)
	if len(path) <= maxSocketPath {
		return path, nil
	}
	short, err := os.MkdirTemp("", "docket-")
	if err != nil {
		return "", fmt.Errorf("find a short path for socket %s: %w", path, err)
	}
	target := filepath.Join(short, name)
	if len(target) > maxSocketPath {
		os.Remove(short)
		return "", &Error{dir, fmt.Errorf("the path of socket %s is too long", name), "give a shorter directory with --data, or a shorter TMPDIR"}
	}
	if err := os.Symlink(target, path); err != nil {
		os.Remove(short)
		return "", fmt.Errorf("link socket %s: %w", path, err)
	}
	return target, nil
}

// A Listener listens on a TCP address.
type Listener struct {
	net.Listener

	// TakenPort is the port that was asked for, when another program had it;
	// else "".
	TakenPort string

	host string // as it was asked for
}

// HostPort returns where a program on this machine finds the listener: by the
// host name that was asked for, if it was one, and on loopback when it listens
// on every address, for that is no place to call.
func (l *Listener) HostPort() string {
	at := l.Addr().(*net.TCPAddr)
	host := at.IP.String()
	switch asked := net.ParseIP(l.host); {
	case l.host != "" && asked == nil:
		host = l.host
	case at.IP.IsUnspecified() && (l.host == "" || asked.To4() != nil):
		host = "127.0.0.1"
	case at.IP.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, strconv.Itoa(at.Port))
}

// Listen listens on a TCP address. When its port is taken, the next free one
// of the 100 after it is used: two runs side by side should just work, and
// run.json and the banner say where. Port 0 is any.
func Listen(address string) (*Listener, error) {
	asked, _, _ := net.SplitHostPort(address) // net.Listen says what is wrong with it
	l, err := net.Listen("tcp", address)
	if !errors.Is(err, syscall.EADDRINUSE) {
		if err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
		return &Listener{Listener: l, host: asked}, nil
	}
	host, port, splitErr := net.SplitHostPort(address)
	n, convErr := strconv.Atoi(port)
	if splitErr != nil || convErr != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	for next := n + 1; next <= min(n+100, 65535); next++ {
		if l, nextErr := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(next))); nextErr == nil {
			return &Listener{Listener: l, TakenPort: port, host: asked}, nil
		}
	}
	return nil, fmt.Errorf("listen on %s and the 100 ports after it: %w", address, err)
}
