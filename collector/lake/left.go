// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"context"
	"sync"
)

// left is what a reader knows of the stubs of foreign events. A file of stubs never
// changes, and none goes: each is read once.
type left struct {
	mu   sync.Mutex
	read map[string]bool // paths
	uids map[string]bool
}

// Left reports for each of uids, those of events of other producers, whether the
// event left the lake by retention or because somebody had it erased.
func (r *Reader) Left(ctx context.Context, uids []string) (map[string]bool, error) {
	r.left.mu.Lock()
	defer r.left.mu.Unlock()
	m := r.Manifest()
	for i := range m.Stubs {
		path := m.Stubs[i].Path
		if r.left.read[path] {
			continue
		}
		stubs, err := ReadStubs(ctx, r.dir, path)
		if err != nil {
			return nil, failed("read lake", r.dir, err)
		}
		if r.left.read == nil {
			r.left.read, r.left.uids = map[string]bool{}, map[string]bool{}
		}
		for _, s := range stubs {
			if s.UID != "" {
				r.left.uids[s.UID] = true
			}
		}
		r.left.read[path] = true
	}
	gone := map[string]bool{}
	for _, uid := range uids {
		if r.left.uids[uid] {
			gone[uid] = true
		}
	}
	return gone, nil
}
