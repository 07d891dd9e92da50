// SPDX-License-Identifier: Apache-2.0

// Package storetest checks that a store keeps the contract of package store:
// exactly once, in commit order, whatever comes in and wherever it is killed.
// Every implementation passes it before anybody relies on it:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, storetest.Subject{Open: ..., Check: ...})
//	}
//
// It also has what tests need around a store: [Epoch] makes sealed events.
package storetest
