// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// A Watermark says that Store accounts for every sequence of Epoch up to
// Sequence: it has stored or quarantined the event, or knows it as missing.
type Watermark struct {
	Store    string
	Epoch    string
	Sequence int64
}

// ErrName says that a watermark's store or epoch has a name that no key of the
// bucket can hold. It never will have.
var ErrName = errors.New("names must be one short subject token each")

// maxName bounds a name: a server bounds its subjects.
const maxName = 160

// key is `<store>.<epoch>`. Neither part may have a dot; an epoch is a UUID.
func (w Watermark) key() (string, error) {
	if !isToken(w.Store) || !isToken(w.Epoch) {
		return "", fmt.Errorf("watermark of store %.80q, epoch %.80q: %w", w.Store, w.Epoch, ErrName)
	}
	return w.Store + "." + w.Epoch, nil
}

// isToken reports whether name may be a part of a key.
func isToken(name string) bool {
	other := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '=' && r != '/'
	}
	return name != "" && len(name) <= maxName && !strings.ContainsFunc(name, other)
}

// Bucket opens the bucket of watermarks. It fails with a [*MissingError] when
// it was never created.
func Bucket(ctx context.Context, js jetstream.JetStream, opts ...Option) (jetstream.KeyValue, error) {
	return open(ctx, js, Declared(opts...).Watermarks.Bucket)
}

func open(ctx context.Context, js jetstream.JetStream, name string) (jetstream.KeyValue, error) {
	kv, err := js.KeyValue(ctx, name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, &MissingError{Stream: "KV_" + name, Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", name, err)
	}
	return kv, nil
}

// PutWatermark publishes w. The caller MUST have made durable what w says, and
// MUST NOT lower a watermark.
func PutWatermark(ctx context.Context, kv jetstream.KeyValue, w Watermark) error {
	key, err := w.key()
	if err != nil {
		return fmt.Errorf("put %w", err)
	}
	if _, err := kv.Put(ctx, key, strconv.AppendInt(nil, w.Sequence, 10)); err != nil {
		return fmt.Errorf("put watermark %s: %w", key, err)
	}
	return nil
}

// WatchWatermarks calls each for every watermark that stands and then for
// every one that is put, and current once all that stood were told. It returns
// when ctx is done or the watch ended, never with a nil error. A key that is no
// watermark is passed over.
func WatchWatermarks(ctx context.Context, kv jetstream.KeyValue, each func(Watermark), current func()) error {
	w, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return fmt.Errorf("watch watermarks: %w", err)
	}
	defer func() { _ = w.Stop() }() // the watch is over either way
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case entry, ok := <-w.Updates():
			if !ok {
				return errors.New("watch watermarks: the watch ended")
			}
			if entry == nil {
				current()
				continue
			}
			if mark, ok := parseWatermark(entry.Key(), entry.Value()); ok {
				each(mark)
			}
		}
	}
}

func parseWatermark(key string, value []byte) (Watermark, bool) {
	store, epoch, ok := strings.Cut(key, ".")
	if !ok || store == "" || epoch == "" || strings.Contains(epoch, ".") {
		return Watermark{}, false
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || n < 0 {
		return Watermark{}, false
	}
	return Watermark{Store: store, Epoch: epoch, Sequence: n}, true
}
