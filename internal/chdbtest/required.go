// SPDX-License-Identifier: Apache-2.0

//go:build chdb

package chdbtest

// required says whether a test may be left out for want of the library.
const required = true
