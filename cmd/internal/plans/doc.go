// SPDX-License-Identifier: Apache-2.0

// Package plans finds the plan that a person means: by a digest or the beginning
// of one ([Resolve]), or by a time at which it was in force ([At]). It asks a
// directory or a server alike (package reading); which plan was in force when is
// derived by collector/plans.
//
// [Compare] says what is different between two of them.
package plans
