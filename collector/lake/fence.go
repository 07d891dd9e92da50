// SPDX-License-Identifier: Apache-2.0

package lake

// LastFence returns the fence of the last commit, below which the lake takes
// none; 0 when none had one.
func (l *Lake) LastFence() uint64 { return l.Manifest().Fence }
