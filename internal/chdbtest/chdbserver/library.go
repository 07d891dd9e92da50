// SPDX-License-Identifier: Apache-2.0

//go:build linux && amd64

package main

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// chdb is what we call of libchdb, as chdb.h of 26.7.3 declares it. Handles are
// pointers of the library's own; Go never looks behind them.
type chdb struct {
	signalHandlers func(enabled int32)
	connect        func(argc int32, argv **byte) uintptr // *handle
	closeConn      func(conn uintptr)
	classify       func(conn uintptr, sql *byte, n uintptr, db *byte, dbLen uintptr, out *analysis) int32

	query       func(conn uintptr, sql *byte, n uintptr, format *byte, formatLen uintptr, names, nameLens, values, valueLens unsafe.Pointer, count uintptr) uintptr
	streamQuery func(conn uintptr, sql *byte, n uintptr, format *byte, formatLen uintptr, names, nameLens, values, valueLens unsafe.Pointer, count uintptr) uintptr
	fetch       func(conn, result uintptr) uintptr
	cancelQuery func(conn, result uintptr)
	destroy     func(result uintptr)
	buffer      func(result uintptr) unsafe.Pointer
	length      func(result uintptr) uintptr
	resultError func(result uintptr) unsafe.Pointer

	insert        func(conn uintptr, sql *byte, n uintptr, format *byte, formatLen uintptr, names, nameLens, values, valueLens unsafe.Pointer, count uintptr) uintptr
	appendData    func(stream uintptr, data *byte, n uintptr) int32
	done          func(stream uintptr) uintptr
	cancelInsert  func(stream uintptr)
	insertError   func(stream uintptr) unsafe.Pointer
	destroyInsert func(stream uintptr)
}

// analysis is chdb_query_analysis_v1.
type analysis struct {
	size, statements, _, class uint32
}

// readOnly is the class of statements that leave no trace.
const readOnly = 0

func load(path string) (*chdb, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return nil, fmt.Errorf("load library: %w", err)
	}
	c := new(chdb)
	for name, f := range map[string]any{
		"chdb_set_signal_handlers_enabled": &c.signalHandlers,
		"chdb_connect":                     &c.connect,
		"chdb_close_conn":                  &c.closeConn,
		"chdb_classify_query_n":            &c.classify,
		"chdb_query_with_params_n":         &c.query,
		"chdb_stream_query_with_params_n":  &c.streamQuery,
		"chdb_stream_fetch_result":         &c.fetch,
		"chdb_stream_cancel_query":         &c.cancelQuery,
		"chdb_destroy_query_result":        &c.destroy,
		"chdb_result_buffer":               &c.buffer,
		"chdb_result_length":               &c.length,
		"chdb_result_error":                &c.resultError,
		"chdb_stream_insert_with_params_n": &c.insert,
		"chdb_stream_append":               &c.appendData,
		"chdb_stream_done":                 &c.done,
		"chdb_stream_cancel_insert":        &c.cancelInsert,
		"chdb_stream_insert_error":         &c.insertError,
		"chdb_destroy_insert_stream":       &c.destroyInsert,
	} {
		symbol, err := purego.Dlsym(handle, name)
		if err != nil {
			return nil, fmt.Errorf("load library: %w", err)
		}
		purego.RegisterFunc(f, symbol)
	}
	c.signalHandlers(0) // Go's runtime has its own
	return c, nil
}

// A conn is a connection: a session with settings and a database of its own. It
// runs one statement at a time.
type conn struct {
	lib    *chdb
	slot   uintptr // what chdb_connect returned
	handle uintptr // what it points at, which the other functions want
}

func (c *chdb) open(args ...string) (*conn, error) {
	argv := make([]*byte, 0, len(args)+2)
	for _, a := range append([]string{"clickhouse"}, args...) {
		argv = append(argv, unsafe.StringData(a+"\x00"))
	}
	argv = append(argv, nil)
	var pins runtime.Pinner
	defer pins.Unpin()
	for _, a := range argv[:len(argv)-1] {
		pins.Pin(a)
	}
	slot := c.connect(int32(len(argv)-1), &argv[0])
	if slot == 0 {
		return nil, errors.New("connect: refused; is another process using the directory?")
	}
	return &conn{lib: c, slot: slot, handle: **(**uintptr)(unsafe.Pointer(&slot))}, nil
}

func (c *conn) close() { c.lib.closeConn(c.slot) }

// statements says how many statements there are in sql, none if it does not
// parse, and whether they only read.
func (c *conn) statements(sql string) (n int, reads bool) {
	a := analysis{size: uint32(unsafe.Sizeof(analysis{}))}
	if c.lib.classify(c.handle, unsafe.StringData(sql), uintptr(len(sql)), nil, 0, &a) != 0 {
		return 0, false
	}
	return int(a.statements), a.statements > 0 && a.class == readOnly
}

// params are values for {name:Type}, in the layout that the library wants.
type params struct {
	names, values       []*byte
	nameLens, valueLens []uintptr
}

func (p *params) add(name, value string) {
	p.names = append(p.names, unsafe.StringData(name+"\x00"))
	p.nameLens = append(p.nameLens, uintptr(len(name)))
	p.values = append(p.values, unsafe.StringData(value+"\x00"))
	p.valueLens = append(p.valueLens, uintptr(len(value)))
}

// with calls f with p, which stays where it is meanwhile.
func (p *params) with(f func(names, nameLens, values, valueLens unsafe.Pointer, n uintptr) uintptr) uintptr {
	if len(p.names) == 0 {
		return f(nil, nil, nil, nil, 0)
	}
	var pins runtime.Pinner
	defer pins.Unpin()
	for i := range p.names {
		pins.Pin(p.names[i])
		pins.Pin(p.values[i])
	}
	return f(unsafe.Pointer(&p.names[0]), unsafe.Pointer(&p.nameLens[0]), unsafe.Pointer(&p.values[0]), unsafe.Pointer(&p.valueLens[0]), uintptr(len(p.names)))
}

// take copies what a result holds and lets go of it.
func (c *chdb) take(result uintptr) ([]byte, error) {
	if result == 0 {
		return nil, errors.New("libchdb returned nothing")
	}
	defer c.destroy(result)
	if err := text(c.resultError(result)); err != "" {
		return nil, parseException(err)
	}
	n := c.length(result)
	if n == 0 {
		return nil, nil
	}
	return append([]byte(nil), unsafe.Slice((*byte)(c.buffer(result)), n)...), nil
}

// text copies a string of C.
func text(p unsafe.Pointer) string {
	if p == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(p, n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(p), n))
}

// query runs sql to its end and returns all of its result.
func (c *conn) query(sql, format string, p *params) ([]byte, error) {
	return c.lib.take(p.with(func(names, nameLens, values, valueLens unsafe.Pointer, n uintptr) uintptr {
		return c.lib.query(c.handle, unsafe.StringData(sql), uintptr(len(sql)),
			unsafe.StringData(format), uintptr(len(format)), names, nameLens, values, valueLens, n)
	}))
}

// stream runs sql and calls yield with pieces of its result as they come.
func (c *conn) stream(sql, format string, p *params, yield func([]byte) error) error {
	result := p.with(func(names, nameLens, values, valueLens unsafe.Pointer, n uintptr) uintptr {
		return c.lib.streamQuery(c.handle, unsafe.StringData(sql), uintptr(len(sql)),
			unsafe.StringData(format), uintptr(len(format)), names, nameLens, values, valueLens, n)
	})
	if result == 0 {
		return errors.New("libchdb returned nothing")
	}
	defer c.lib.destroy(result)
	if err := text(c.lib.resultError(result)); err != "" {
		return parseException(err)
	}
	for {
		piece, err := c.lib.take(c.lib.fetch(c.handle, result))
		if err != nil {
			return err
		}
		if len(piece) == 0 {
			return nil
		}
		if err := yield(piece); err != nil {
			c.lib.cancelQuery(c.handle, result)
			return err
		}
	}
}

// An insertion is an INSERT whose data is on its way.
type insertion struct {
	lib    *chdb
	stream uintptr
}

// insert begins what sql says, an INSERT without FORMAT and data.
func (c *conn) insert(sql, format string, p *params) (*insertion, error) {
	stream := p.with(func(names, nameLens, values, valueLens unsafe.Pointer, n uintptr) uintptr {
		return c.lib.insert(c.handle, unsafe.StringData(sql), uintptr(len(sql)),
			unsafe.StringData(format), uintptr(len(format)), names, nameLens, values, valueLens, n)
	})
	in := &insertion{lib: c.lib, stream: stream}
	if err := text(c.lib.insertError(stream)); err != "" {
		in.close()
		return nil, parseException(err)
	}
	return in, nil
}

// Write hands data over; it blocks while the engine is behind.
func (in *insertion) Write(data []byte) (int, error) {
	if len(data) == 0 {
		return 0, nil
	}
	if in.lib.appendData(in.stream, &data[0], uintptr(len(data))) != 0 {
		if err := text(in.lib.insertError(in.stream)); err != "" {
			return 0, parseException(err)
		}
		return 0, errors.New("the engine takes no more data")
	}
	return len(data), nil
}

// commit ends the data and waits until it is in.
func (in *insertion) commit() error {
	_, err := in.lib.take(in.lib.done(in.stream))
	return err
}

// cancel forgets what was not yet written.
func (in *insertion) cancel() { in.lib.cancelInsert(in.stream) }

func (in *insertion) close() { in.lib.destroyInsert(in.stream) }
