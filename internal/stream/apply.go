// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// Apply makes the server's stream and buckets at least as strong as declared.
// What exists and promises more stays as it is: space, replicas, subjects,
// compression and the like are the operator's.
//
// The one thing that it takes away is emitters: a stream that [Emitters] assigns is
// for those and no others afterwards.
//
// It fails with a [*WeakerError] when what is weaker cannot be changed on a
// stream that exists.
func Apply(ctx context.Context, js jetstream.JetStream, opts ...Option) error {
	d := Declared(opts...)
	if err := applyStream(ctx, js, &d); err != nil {
		return err
	}
	for _, wanted := range []jetstream.KeyValueConfig{d.Watermarks, d.Leases} {
		if err := applyBucket(ctx, js, wanted); err != nil {
			return err
		}
	}
	return nil
}

func applyBucket(ctx context.Context, js jetstream.JetStream, wanted jetstream.KeyValueConfig) error {
	kv, err := js.KeyValue(ctx, wanted.Bucket)
	if err == nil {
		return applyReplicas(ctx, js, kv, wanted)
	}
	if !errors.Is(err, jetstream.ErrBucketNotFound) {
		return fmt.Errorf("apply bucket %s: %w", wanted.Bucket, err)
	}
	if _, err := js.CreateKeyValue(ctx, wanted); err != nil && !errors.Is(err, jetstream.ErrBucketExists) {
		return fmt.Errorf("apply bucket %s: %w", wanted.Bucket, err)
	}
	return nil
}

func applyStream(ctx context.Context, js jetstream.JetStream, d *Declaration) error {
	wanted := d.Stream
	s, err := js.Stream(ctx, wanted.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = js.CreateStream(ctx, wanted)
		if err != nil {
			return fmt.Errorf("apply stream %s: create: %w", wanted.Name, err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("apply stream %s: %w", wanted.Name, err)
	}
	found := s.CachedInfo().Config
	wanted = d.of(&found)
	merged := strengthen(found, wanted)
	if d.assigned {
		merged.Subjects = assign(found.Subjects, wanted.Subjects)
	}
	if left := Weaker(merged, wanted); len(left) > 0 {
		return &WeakerError{Stream: wanted.Name, Differences: left}
	}
	if len(Weaker(found, wanted)) == 0 && found.MaxBytes == merged.MaxBytes && slices.Equal(found.Subjects, merged.Subjects) {
		return nil
	}
	if _, err := js.UpdateStream(ctx, merged); err != nil {
		return fmt.Errorf("apply stream %s: update: %w", wanted.Name, err)
	}
	return nil
}

// strengthen returns found with everything that is weaker than wanted and that
// a server lets one change brought up to wanted.
func strengthen(found, wanted jetstream.StreamConfig) jetstream.StreamConfig {
	c := found
	c.Discard = wanted.Discard
	c.AllowAtomicPublish = true
	c.NoAck = false
	c.MaxAge = 0
	if !c.DiscardNewPerSubject {
		c.MaxMsgsPerSubject = -1
	}
	if c.MaxMsgSize > 0 && c.MaxMsgSize < wanted.MaxMsgSize {
		c.MaxMsgSize = wanted.MaxMsgSize
	}
	c.Replicas = max(c.Replicas, wanted.Replicas)
	if c.MaxBytes > 0 && c.MaxBytes < wanted.MaxBytes {
		c.MaxBytes = wanted.MaxBytes
	}
	c.SubjectTransform = nil
	for _, s := range wanted.Subjects {
		if covered(c.Subjects, s) {
			continue
		}
		// Subjects of one stream may not overlap: what the new one covers goes.
		var kept []string
		for _, old := range c.Subjects {
			if !covers(s, old) {
				kept = append(kept, old)
			}
		}
		kept = append(kept, s)
		c.Subjects = kept
	}
	return c
}

// assign returns what is not Docket's of the subjects that a stream has, and those
// of the emitters that it is to have: others are another stream's.
func assign(found, wanted []string) []string {
	const all = "docket.activity.>"
	var subjects []string
	for _, s := range found {
		if !covers(all, s) && !covers(s, all) {
			subjects = append(subjects, s)
		}
	}
	return append(subjects, wanted...)
}

func applyReplicas(ctx context.Context, js jetstream.JetStream, kv jetstream.KeyValue, wanted jetstream.KeyValueConfig) error {
	status, err := kv.Status(ctx)
	if err != nil {
		return fmt.Errorf("apply bucket %s: %w", wanted.Bucket, err)
	}
	if status.Config().Replicas >= wanted.Replicas {
		return nil
	}
	if _, err := js.UpdateKeyValue(ctx, wanted); err != nil {
		return fmt.Errorf("apply bucket %s: %w", wanted.Bucket, err)
	}
	return nil
}
