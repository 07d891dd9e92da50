// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/docket-audit/docket/internal/profile"
)

// An atomic batch of JetStream is messages with one batch id, numbered from 1;
// the last one asks for the commit. The server stores all of them or none, and
// syncs once: the only publishing that is both durable and fast. The client
// library has no helper for it, so the headers are written here.
const (
	headerBatchID  = "Nats-Batch-Id"
	headerBatchSeq = "Nats-Batch-Sequence"
	headerCommit   = "Nats-Batch-Commit"

	batchMessages = 1000    // the server's limit, unless configured lower
	batchBytes    = 4 << 20 // ours, so that those that are open stay far below the server's queue
	batchesOpen   = 2       // at most, of a publisher
)

var (
	errInDoubt      = errors.New("no answer in time: the batch is in doubt")
	errDisconnected = errors.New("connection lost: the batch is in doubt")
)

// A batchError is the server's refusal of a batch.
type batchError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *batchError) Error() string {
	return fmt.Sprintf("stream refuses the batch: %s (%d)", e.Description, e.ErrCode)
}

// Hint tells what to do where an operator must act.
func (e *batchError) Hint() string {
	switch e.ErrCode {
	case errCodeStreamFull:
		return "the stream is full: events wait in the WAL until stores catch up and the stream is purged, or its max_bytes is raised"
	case errCodeAtomicDisabled:
		return "run docket stream apply"
	default:
		return "see the server's log"
	}
}

// limit returns how many messages the server takes in a batch, given that it
// refused one of was: its description ends in the number, else a half is tried.
func (e *batchError) limit(was int) int {
	_, number, _ := strings.Cut(e.Description, "too large: ")
	if n, err := strconv.Atoi(number); err == nil && n > 0 && n < was {
		return n
	}
	return max(1, was/2)
}

// Error codes of the JetStream API.
const (
	errCodeStreamFull     = 10077
	errCodeAtomicDisabled = 10174
	errCodeBatchTooLarge  = 10199
)

// answers routes the server's answers to who waits for them, through one inbox.
type answers struct {
	nc    *nats.Conn
	inbox string
	sub   *nats.Subscription

	mu      sync.Mutex
	waiting map[string]chan *nats.Msg // guarded by mu
}

func newAnswers(nc *nats.Conn) (*answers, error) {
	a := &answers{nc: nc, inbox: nc.NewInbox(), waiting: map[string]chan *nats.Msg{}}
	sub, err := nc.Subscribe(a.inbox+".*", func(m *nats.Msg) {
		token := strings.TrimPrefix(m.Subject, a.inbox+".")
		a.mu.Lock()
		ch := a.waiting[token]
		delete(a.waiting, token)
		a.mu.Unlock()
		if ch != nil {
			ch <- m // has room for the one answer
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to answers: %w", err)
	}
	a.sub = sub
	return a, nil
}

// expect returns a subject to answer to and the channel that gets the answer.
func (a *answers) expect(token string) (string, <-chan *nats.Msg) {
	ch := make(chan *nats.Msg, 1)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting[token] = ch
	return a.inbox + "." + token, ch
}

func (a *answers) forget(tokens ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range tokens {
		delete(a.waiting, t)
	}
}

func (a *answers) close() {
	_ = a.sub.Unsubscribe() // fails only on a connection that is gone
}

// A batch is records on their way to the stream.
type batch struct {
	id      string
	records []record
	memory  []byte   // that of the events
	next    position // behind them in the WAL
	first   <-chan *nats.Msg
	last    <-chan *nats.Msg
	asked   time.Time // when the commit was asked for
}

// A batcher publishes atomic batches on one connection.
type batcher struct {
	nc      *nats.Conn
	answers *answers
	name    string // begins every batch id
	n       uint64
	wait    patience
	msg     nats.Msg // used for every message: publishing copies it
	header  header
}

// A header is what differs in the headers of messages: one value each.
type header struct{ id, place, uid, epoch, sequence []string }

func newBatcher(nc *nats.Conn) (*batcher, error) {
	a, err := newAnswers(nc)
	if err != nil {
		return nil, err
	}
	var name [9]byte
	_, _ = rand.Read(name[:]) // never fails
	h := header{make([]string, 1), make([]string, 1), make([]string, 1), make([]string, 1), make([]string, 1)}
	return &batcher{
		nc: nc, answers: a, name: hex.EncodeToString(name[:]), header: h,
		msg: nats.Msg{Header: nats.Header{
			headerBatchID: h.id, headerBatchSeq: h.place,
			profile.HeaderEventUID: h.uid, profile.HeaderEpoch: h.epoch, profile.HeaderSequence: h.sequence,
		}},
	}, nil
}

// begin makes a new batch of records; a repetition of one in doubt is another
// batch, with another id.
func (b *batcher) begin(records []record, next position) *batch {
	b.n++
	return &batch{id: b.name + strconv.FormatUint(b.n, 36), records: records, next: next}
}

// stage publishes all of f's messages but the last, which commits. The first is
// a request, so that a refusal is heard before all are sent; with wait its
// answer is waited for.
func (b *batcher) stage(ctx context.Context, f *batch, wait bool) error {
	for i := range f.records[:max(0, len(f.records)-1)] {
		reply := ""
		if i == 0 {
			reply, f.first = b.answers.expect(f.id + "f")
		}
		if err := b.send(f, i, reply, false); err != nil {
			return err
		}
		if i == 0 && wait {
			if err := b.accepted(ctx, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// accepted waits for the answer to the first message.
func (b *batcher) accepted(ctx context.Context, f *batch) error {
	timeout := time.NewTimer(b.wait.of(answerTimeout))
	defer timeout.Stop()
	select {
	case m := <-f.first:
		f.first = nil
		return refusal(m)
	case <-timeout.C:
		b.wait.unanswered()
		return fmt.Errorf("begin batch: %w", errInDoubt)
	case <-ctx.Done():
		return fmt.Errorf("begin batch: %w", ctx.Err())
	}
}

// commit publishes the last message of f.
func (b *batcher) commit(f *batch) error {
	reply, ch := b.answers.expect(f.id + "c")
	f.last, f.asked = ch, time.Now()
	return b.send(f, len(f.records)-1, reply, true)
}

func (b *batcher) send(f *batch, i int, reply string, commit bool) error {
	r := &f.records[i]
	b.msg.Subject, b.msg.Reply, b.msg.Data = r.subject, reply, r.raw
	h := b.header
	h.id[0], h.place[0] = f.id, strconv.Itoa(i+1)
	h.uid[0], h.epoch[0], h.sequence[0] = r.uid, r.epoch, strconv.FormatInt(r.sequence, 10)
	delete(b.msg.Header, headerCommit)
	if commit {
		b.msg.Header[headerCommit] = []string{"1"}
	}
	if err := b.nc.PublishMsg(&b.msg); err != nil {
		return fmt.Errorf("publish event %s of %d bytes: %w", r.uid, len(r.raw), err)
	}
	return nil
}

// settle waits for the answer to the commit of f. lost tells that the
// connection went down.
func (b *batcher) settle(ctx context.Context, f *batch, lost <-chan struct{}) error {
	defer b.answers.forget(f.id+"f", f.id+"c")
	timeout := time.NewTimer(b.wait.of(commitTimeout))
	defer timeout.Stop()
	for {
		select {
		case m := <-f.first:
			f.first = nil
			if err := refusal(m); err != nil {
				return err
			}
		case m := <-f.last:
			err := committed(m, f)
			if err == nil {
				b.wait.answered(time.Since(f.asked))
			}
			return err
		case <-lost:
			return errDisconnected
		case <-timeout.C:
			b.wait.unanswered()
			return errInDoubt
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// abandon forgets a batch that will not be committed. The server drops its
// messages after some seconds.
func (b *batcher) abandon(f *batch) {
	if f != nil {
		b.answers.forget(f.id+"f", f.id+"c")
	}
}

const (
	// At most, each; see patience.
	answerTimeout = 5 * time.Second
	// commitTimeout is longer than the server keeps an open batch: when it is
	// over, a commit that was not heard of is not under way any more.
	commitTimeout = 15 * time.Second
)

// refusal returns the error that an answer holds. An empty one is consent.
func refusal(m *nats.Msg) error {
	if m.Header.Get("Status") == "503" {
		return nats.ErrNoResponders
	}
	if len(m.Data) == 0 {
		return nil
	}
	var answer struct {
		Error *batchError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if answer.Error != nil {
		return answer.Error
	}
	return nil
}

// committed judges the answer to a commit.
func committed(m *nats.Msg, f *batch) error {
	if err := refusal(m); err != nil {
		return err
	}
	var ack struct {
		Batch string `json:"batch"`
		Count int    `json:"count"`
	}
	if err := json.Unmarshal(m.Data, &ack); err != nil {
		return fmt.Errorf("read acknowledgement: %w", err)
	}
	if ack.Batch != f.id || ack.Count != len(f.records) {
		return fmt.Errorf("acknowledgement of batch %q with %d messages, published were %q with %d", ack.Batch, ack.Count, f.id, len(f.records))
	}
	return nil
}
