// SPDX-License-Identifier: Apache-2.0

package chdbtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// A process is a chdbserver that runs. No goroutine belongs to it: what it says
// goes to a file, and nobody waits for it before it is to end. It ends by itself
// when its standard input does, which is when this process does.
type process struct {
	cmd  *exec.Cmd
	addr string
	in   *os.File // the end of its standard input that is ours
	log  *os.File // what it said on standard error; it has no name any more
}

// start starts one with more arguments than it always has.
func start(library, dir string, args ...string) (p *process, err error) {
	fail := func(err error) (*process, error) { return nil, fmt.Errorf("chdbtest: start chdbserver: %w", err) }
	binary, err := server()
	if err != nil {
		return nil, err
	}
	log, err := os.CreateTemp("", "chdbserver-*.log")
	if err != nil {
		return fail(err)
	}
	if err := os.Remove(log.Name()); err != nil {
		return fail(err)
	}
	theirIn, in, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		return fail(err)
	}
	cmd := exec.Command(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), binary.Fd()), append([]string{"-library", library, "-path", dir}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirIn, theirOut, log
	err = errors.Join(cmd.Start(), theirIn.Close(), theirOut.Close())
	p = &process{cmd: cmd, in: in, log: log}
	if err != nil {
		return fail(errors.Join(err, in.Close(), out.Close(), log.Close()))
	}
	// The first line, or an end without one.
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err := errors.Join(err, out.Close()); err != nil {
		_ = cmd.Process.Kill()
		return fail(errors.Join(err, p.wait()))
	}
	p.addr = strings.TrimSpace(addr)
	return p, nil
}

func (p *process) dsn() string { return "http://" + p.addr + "/default" }

// stop ends the process in order.
func (p *process) stop() error {
	if err := p.in.Close(); err != nil {
		return fmt.Errorf("chdbtest: stop chdbserver: %w", err)
	}
	return p.wait()
}

// kill ends the process by SIGKILL.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.wait() // it was killed
	_ = p.in.Close()
}

// wait waits for the end of the process. Its error holds what the process said.
func (p *process) wait() error {
	err := p.cmd.Wait()
	if err != nil {
		said, readErr := io.ReadAll(io.NewSectionReader(p.log, 0, 1<<20))
		err = errors.Join(fmt.Errorf("chdbtest: chdbserver: %w\n%s", err, said), readErr)
	}
	return errors.Join(err, p.log.Close())
}
