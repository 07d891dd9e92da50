// SPDX-License-Identifier: Apache-2.0

// Package ocsfbench measures package ocsf beside the JSON libraries that people
// would otherwise take. It is a module of its own, so that none of them becomes
// a dependency of Docket.
package ocsfbench
