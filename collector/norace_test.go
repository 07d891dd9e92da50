// SPDX-License-Identifier: Apache-2.0

//go:build !race

package collector

// manyHoles is how many an epoch has that has many.
const manyHoles = 100_000
