// SPDX-License-Identifier: Apache-2.0

package lake

// Failed is failed, for tests of its hints.
var Failed = failed
