// SPDX-License-Identifier: Apache-2.0

//go:build !race

package interceptor_test

// racing is 0 where no race detector is at work.
const racing = 0
