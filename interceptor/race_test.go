// SPDX-License-Identifier: Apache-2.0

//go:build race

package interceptor_test

// racing is 1 where the race detector is at work.
const racing = 1
