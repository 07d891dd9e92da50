// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/docket-audit/docket/cmd/internal/datadir"
)

// Processes are the demo's, as docket sees them.
type Processes struct {
	dir    string
	exe    string
	stderr io.Writer

	client *process
	others []*process
	died   chan error // takes what a process ended with that nobody stopped
}

type process struct {
	part    Part
	cmd     *exec.Cmd
	stdin   io.Closer
	done    chan struct{} // closed when it has ended
	stopped chan struct{} // closed when it shall end
}

// Start writes chain.toml to dir and starts the service and the interceptors;
// all of them listen when it returns.
func Start(ctx context.Context, dir string, stderr io.Writer) (*Processes, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("start the demo: %w", err)
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start the demo: %w", err)
	}
	p := &Processes{dir: dir, exe: exe, stderr: stderr, died: make(chan error, 8)}
	endpoints := map[string]string{}
	var parts []Part
	for _, name := range append([]string{ServicePart}, Interceptors...) {
		socket, err := datadir.SocketPath(dir, name+".sock")
		if err != nil {
			return nil, fmt.Errorf("start the demo: %w", err)
		}
		endpoints[name] = "unix://" + socket
		parts = append(parts, Part{Name: name, Dir: dir, Socket: socket})
	}
	text, err := Chain(endpoints)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(p.ChainFile(), text, 0o600); err != nil {
		return nil, fmt.Errorf("start the demo: %w", err)
	}
	for _, part := range parts {
		child, err := p.start(ctx, part)
		if err != nil {
			return nil, errors.Join(err, p.Stop())
		}
		p.others = append(p.others, child)
	}
	return p, nil
}

// ChainFile returns the path of the demo's chain.toml.
func (p *Processes) ChainFile() string { return filepath.Join(p.dir, "chain.toml") }

// Died tells when a process ended that nobody stopped.
func (p *Processes) Died() <-chan error { return p.died }

// StartClient starts the traffic to the proxy at url.
func (p *Processes) StartClient(ctx context.Context, url string) (err error) {
	p.client, err = p.start(ctx, Part{Name: ClientPart, Dir: p.dir, Address: url})
	return err
}

func (p *Processes) start(ctx context.Context, part Part) (*process, error) {
	args := []string{"demo", part.Name, "--dir", part.Dir}
	if part.Socket != "" {
		args = append(args, "--socket", part.Socket)
	}
	if part.Address != "" {
		args = append(args, "--address", part.Address)
	}
	cmd := exec.Command(p.exe, args...)
	cmd.Args[0] = "docket"
	cmd.Stderr = p.stderr
	// A group of its own: ^C is for docket, which stops the demo when it has no
	// more use for it. It needs no other leash: see Part.Run.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the demo's %s: %w", part.Name, err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the demo's %s: %w", part.Name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the demo's %s: %w", part.Name, err)
	}
	child := &process{part: part, cmd: cmd, stdin: stdin, done: make(chan struct{}), stopped: make(chan struct{})}
	ready := make(chan error, 1)
	go func() {
		_, err := bufio.NewReader(stdout).ReadString('\n')
		ready <- err
		werr := cmd.Wait()
		select {
		case <-child.stopped:
		default:
			p.died <- fmt.Errorf("the demo's %s ended: %w", part.Name, errors.Join(werr, errEnded))
		}
		close(child.done)
	}()
	select {
	case err = <-ready:
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(20 * time.Second):
		err = errors.New("it does not listen")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the demo's %s: %w", part.Name, err), child.stop())
	}
	return child, nil
}

var errEnded = errors.New("nobody had stopped it")

// stop ends the process by closing its standard input.
func (c *process) stop() error {
	close(c.stopped)
	err := c.stdin.Close()
	select {
	case <-c.done:
		return err
	case <-time.After(2 * time.Second):
		err = errors.Join(err, c.cmd.Process.Kill())
		<-c.done
		return err
	}
}

// StopClient ends the traffic; the call under way comes to its end.
func (p *Processes) StopClient() error {
	if p.client == nil {
		return nil
	}
	c := p.client
	p.client = nil
	return c.stop()
}

// Stop ends everything.
func (p *Processes) Stop() error {
	errs := []error{p.StopClient()}
	for _, c := range p.others {
		errs = append(errs, c.stop())
		if target, err := os.Readlink(filepath.Join(p.dir, c.part.Name+".sock")); err == nil {
			os.RemoveAll(filepath.Dir(target))
		}
		os.Remove(filepath.Join(p.dir, c.part.Name+".sock"))
	}
	p.others = nil
	return errors.Join(errs...)
}
