// SPDX-License-Identifier: Apache-2.0

// Package tonictest is a client of gRPC for tests, with the habits of OpenShell's
// gateway: HTTP/2 pings on a connection that is idle, no grpc-timeout, and a reset
// of the stream of a call that takes too long. It speaks HTTP/2 frame by frame,
// so that a test sees what a server thinks of that.
package tonictest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// An Answer is what became of a call.
type Answer struct {
	Status  string              // grpc-status, or "reset: CODE", or connectionLost
	Trailer map[string][]string // with the header fields
	Body    []byte              // of all messages, with their prefixes
}

// A Client is one connection. Its methods may be called by many goroutines.
type Client struct {
	conn   net.Conn
	framer *http2.Framer     // its writing half is owned by write
	writes chan func() error // never closed
	done   chan struct{}     // closed when there is nothing more to read
	acks   chan struct{}     // one for each ping that was answered
	over   sync.WaitGroup    // of read and write

	mu     sync.Mutex
	stream uint32           // the next one; guarded by mu
	calls  map[uint32]*call // guarded by mu
	gone   bool             // guarded by mu
	lost   bool             // guarded by mu
	code   http2.ErrCode    // what the server said when it hung up; guarded by mu
	why    string           // guarded by mu
}

type call struct {
	answer Answer
	ended  chan Answer
}

const connectionLost = "connection lost"

// maxUnread is how many answered pings need not be taken notice of.
const maxUnread = 1 << 12

// New takes over a connection. Close must be called.
func New(conn net.Conn) *Client {
	c := &Client{
		conn: conn, framer: http2.NewFramer(conn, conn), writes: make(chan func() error, 64), done: make(chan struct{}),
		acks: make(chan struct{}, maxUnread), stream: 1, calls: map[uint32]*call{},
	}
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	// Before the reader has anything to answer: the preface comes first.
	c.send(func() error {
		if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
			return err
		}
		return errors.Join(c.framer.WriteSettings(), c.framer.WriteWindowUpdate(0, 1<<30))
	})
	c.over.Go(c.write)
	c.over.Go(c.read)
	return c
}

// Close hangs up.
func (c *Client) Close() error {
	err := c.conn.Close()
	c.over.Wait()
	return err
}

// Left is closed when the server has hung up.
func (c *Client) Left() <-chan struct{} { return c.done }

// GoAway is what the server said when it wanted no more of this client; ok is
// false as long as it has not.
func (c *Client) GoAway() (code http2.ErrCode, why string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.code, c.why, c.gone
}

// Ping sends a ping. Each that is answered comes out of Acks.
func (c *Client) Ping() {
	c.send(func() error { return c.framer.WritePing(false, [8]byte{'t', 'o', 'n', 'i', 'c'}) })
}

// Acks has one for each answered ping.
func (c *Client) Acks() <-chan struct{} { return c.acks }

// Call begins a unary call of "/service/method". Fields are pairs of further
// header fields.
func (c *Client) Call(path string, message []byte, fields ...string) (stream uint32, answer <-chan Answer) {
	return c.CallWith(path, append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...), fields...)
}

// CallWith is Call with the body of the request, which may be no message.
func (c *Client) CallWith(path string, body []byte, fields ...string) (stream uint32, answer <-chan Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	stream = c.stream
	c.stream += 2
	made := &call{ended: make(chan Answer, 1), answer: Answer{Trailer: map[string][]string{}}}
	if c.lost {
		made.ended <- Answer{Status: connectionLost}
		return stream, made.ended
	}
	c.calls[stream] = made
	// All under one lock: streams have to begin in their order.
	c.send(func() error {
		var block bytes.Buffer
		encoder := hpack.NewEncoder(&block)
		all := append([]string{
			":method", "POST", ":scheme", "http", ":path", path, ":authority", "[::]:50051",
			"te", "trailers", "content-type", "application/grpc", "user-agent", "tonic/0.14.1",
		}, fields...)
		for i := 0; i < len(all); i += 2 {
			if err := encoder.WriteField(hpack.HeaderField{Name: all[i], Value: all[i+1]}); err != nil {
				return err
			}
		}
		return errors.Join(
			c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true}),
			c.framer.WriteData(stream, true, body))
	})
	return stream, made.ended
}

// Drop resets the stream of a call that took too long.
func (c *Client) Drop(stream uint32) {
	c.send(func() error { return c.framer.WriteRSTStream(stream, http2.ErrCodeCancel) })
}

// send has something written. The reader must not wait for that: the other end
// may be writing, too.
func (c *Client) send(f func() error) {
	select {
	case c.writes <- f:
	case <-c.done:
	}
}

func (c *Client) write() {
	for {
		select {
		case f := <-c.writes:
			if f() != nil {
				return // what the server said before it hung up is still to be read
			}
		case <-c.done:
			return
		}
	}
}

func (c *Client) read() {
	defer c.lose()
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				c.send(c.framer.WriteSettingsAck)
			}
		case *http2.PingFrame:
			if data := frame.Data; !frame.IsAck() {
				c.send(func() error { return c.framer.WritePing(true, data) })
			} else {
				c.acks <- struct{}{}
			}
		case *http2.GoAwayFrame:
			c.mu.Lock()
			c.gone, c.code, c.why = true, frame.ErrCode, string(frame.DebugData())
			c.mu.Unlock()
		default:
			c.take(frame)
		}
	}
}

// take is read for the frames of calls.
func (c *Client) take(frame http2.Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := frame.Header().StreamID
	made := c.calls[id]
	if made == nil {
		return
	}
	switch frame := frame.(type) {
	case *http2.DataFrame:
		made.answer.Body = append(made.answer.Body, frame.Data()...)
	case *http2.MetaHeadersFrame:
		for _, f := range frame.Fields {
			made.answer.Trailer[f.Name] = append(made.answer.Trailer[f.Name], f.Value)
			if f.Name == "grpc-status" {
				made.answer.Status = f.Value
			}
		}
		if frame.StreamEnded() {
			c.end(id, made)
		}
	case *http2.RSTStreamFrame:
		made.answer.Status = "reset: " + frame.ErrCode.String()
		c.end(id, made)
	}
}

// end ends a call; mu is held.
func (c *Client) end(id uint32, made *call) {
	delete(c.calls, id)
	made.ended <- made.answer
}

// lose ends the calls that are left when the connection does.
func (c *Client) lose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, made := range c.calls {
		made.answer.Status = connectionLost
		c.end(id, made)
	}
	c.lost = true
	close(c.done)
}
