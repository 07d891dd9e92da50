// SPDX-License-Identifier: Apache-2.0

//go:build linux && amd64

// Command chdbserver serves the HTTP interface of ClickHouse from libchdb, for
// tests. It is built and started by package chdbtest and ends with whoever
// started it: when its standard input does.
//
//	chdbserver -library libchdb.so -path dir
//
// The first line it prints is the address it listens on. Every statement is run
// by the engine, but for the one question that clickhouse-go asks of a server when
// it connects (see handshake).
//
// What differs from a server: there is one user without a password, no native
// protocol, no compression, no sessions, no external tables, no query log. The
// engine gives each query an id of its own; that of the request is only sent back.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

func main() {
	library := flag.String("library", "", "libchdb.so")
	path := flag.String("path", "", "directory of the data; without it one that is removed at the end")
	config := flag.String("config", "", "configuration of the engine, for what its user may do")
	flag.Parse()
	if err := run(*library, *path, *config); err != nil {
		fmt.Fprintln(os.Stderr, "chdbserver:", err)
		os.Exit(1)
	}
}

// patience bounds how long queries that were killed may take to end.
const patience = 20 * time.Second

func run(library, path, config string) (err error) {
	remove := func() error { return nil }
	if path == "" {
		if path, err = os.MkdirTemp("", "chdbserver"); err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
		remove = func() error { return os.RemoveAll(path) }
	}
	defer func() { err = errors.Join(err, remove()) }()
	lib, err := load(library)
	if err != nil {
		return err
	}
	s, err := newServer(lib, path, config)
	if err != nil {
		return err
	}
	// The engine ends with its last connection, and only with that.
	defer s.first.close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	srv := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	if _, err := fmt.Fprintln(os.Stdout, l.Addr()); err != nil {
		return fmt.Errorf("print address: %w", err)
	}
	// Nobody reads what comes after that line.
	if err := syscall.Dup2(syscall.Stderr, syscall.Stdout); err != nil {
		return fmt.Errorf("redirect output: %w", err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until whoever started us is gone
	// Whoever started us is done: what still runs is killed, and not waited for if
	// it does not heed that.
	late := time.AfterFunc(patience, func() {
		fmt.Fprintln(os.Stderr, "chdbserver: a query does not end")
		_ = remove()
		os.Exit(1)
	})
	defer late.Stop()
	err = srv.Close()
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	s.running.Wait()
	return err
}

// watch calls kill when ctx ends, and again until stop is called: what is to be
// killed may not have begun yet. When stop returns, kill is not called any more.
func watch(ctx context.Context, kill func()) (stop func()) {
	stopped := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		again := time.NewTicker(50 * time.Millisecond)
		defer again.Stop()
		select {
		case <-stopped:
			return
		case <-ctx.Done():
		}
		for {
			kill()
			select {
			case <-stopped:
				return
			case <-again.C:
			}
		}
	})
	return func() {
		close(stopped)
		watching.Wait()
	}
}
