// SPDX-License-Identifier: Apache-2.0

package natstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"time"
	_ "unsafe" // for the times of elections

	"github.com/nats-io/nats-server/v2/server"
)

// childEnv tells a test binary that it is a server of a cluster, and which.
const childEnv = "DOCKET_NATSTEST_CHILD"

// A life is what a server of a cluster is told.
type life struct {
	Name    string
	Store   string
	Port    int // of clients
	Cluster int // of routes
	Monitor int
	Routes  []string
	// Heartbeat is what [Heartbeat] says, 0 for the server's own.
	Heartbeat time.Duration
}

// Child is a server of a cluster, and does not return, in a process that
// [RunCluster] started for that; elsewhere it does nothing.
func Child() {
	told := os.Getenv(childEnv)
	if told == "" {
		return
	}
	var l life
	err := json.Unmarshal([]byte(told), &l)
	if err == nil {
		err = l.serve()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve runs the server until standard input ends: that it is to end, or that who
// started it is gone.
func (l *life) serve() error {
	if l.Heartbeat > 0 {
		hasten(l.Heartbeat)
	}
	opts := &server.Options{
		ServerName: l.Name, Host: "127.0.0.1", Port: l.Port, HTTPHost: "127.0.0.1", HTTPPort: l.Monitor,
		JetStream: true, StoreDir: l.Store, SyncAlways: true, NoSigs: true, NoLog: true,
		JetStreamMaxMemory: 1 << 30, JetStreamMaxStore: 64 << 30,
		Cluster: server.ClusterOpts{
			Name: "docket", Host: "127.0.0.1", Port: l.Cluster,
			// What servers tell each other of where they are leads nowhere, or they
			// would find ways around the relays.
			Advertise: "127.0.0.1:1",
		},
	}
	for _, r := range l.Routes {
		u, err := url.Parse(r)
		if err != nil {
			return fmt.Errorf("read route %s: %w", r, err)
		}
		opts.Routes = append(opts.Routes, u)
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("start NATS server: %w", err)
	}
	go srv.Start()
	_, _ = io.Copy(io.Discard, os.Stdin)
	srv.Shutdown()
	srv.WaitForShutdown()
	return nil
}

// The times of Raft in nats-server 2.15, which no option changes.
//
//nolint:gochecknoglobals // they are the server's
var (
	//go:linkname hbInterval github.com/nats-io/nats-server/v2/server.hbInterval
	hbInterval time.Duration
	//go:linkname minElectionTimeout github.com/nats-io/nats-server/v2/server.minElectionTimeout
	minElectionTimeout time.Duration
	//go:linkname maxElectionTimeout github.com/nats-io/nats-server/v2/server.maxElectionTimeout
	maxElectionTimeout time.Duration
	//go:linkname lostQuorumInterval github.com/nats-io/nats-server/v2/server.lostQuorumInterval
	lostQuorumInterval time.Duration
	//go:linkname lostQuorumCheck github.com/nats-io/nats-server/v2/server.lostQuorumCheck
	lostQuorumCheck time.Duration
)

// hasten has the server's Raft run at the pace of a heartbeat, in the proportions
// that it has by itself.
func hasten(heartbeat time.Duration) {
	hbInterval = heartbeat
	minElectionTimeout, maxElectionTimeout = 4*heartbeat, 9*heartbeat
	lostQuorumInterval, lostQuorumCheck = 10*heartbeat, 10*heartbeat
}

// A child is a process that runs a server.
type child struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	exited chan struct{} // closed when it has

	mu  sync.Mutex
	out bytes.Buffer // guarded by mu
}

// Write keeps the beginning of what the process says.
func (c *child) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.out.Len() < 64<<10 {
		c.out.Write(p)
	}
	return len(p), nil
}

func (c *child) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.String()
}

// start starts a process that lives l.
func start(l *life) (*child, error) {
	told, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("tell a server what it is: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the test binary: %w", err)
	}
	c := &child{cmd: exec.Command(self), exited: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), childEnv+"="+string(told))
	c.cmd.Stdout, c.cmd.Stderr = c, c
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start a server: %w", err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a server: %w", err)
	}
	go func() {
		_ = c.cmd.Wait() // how it ended is known to who ended it
		close(c.exited)
	}()
	return c, nil
}
