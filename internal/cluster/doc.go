// SPDX-License-Identifier: Apache-2.0

// Package cluster holds no code. Its tests run emitters and collectors, under
// load, over a cluster of three NATS servers with two streams, and let servers be
// killed, cut off, restarted and come back with an empty disk. After each fault
// every event that was acknowledged is stored once, and the numbers balance.
package cluster
