// SPDX-License-Identifier: Apache-2.0

// Package demo is the traffic of `docket up --demo`: a small sandbox-management
// service, three interceptors that judge what is asked of it, and a client that
// asks. Each runs as a process of its own, as in a real deployment, and the
// interceptors and the service are reached over unix sockets.
//
//	client --tcp--> docket's proxy --unix--> service
//	                     |--unix--> naming  patches names and labels; keeps some sandboxes from deletion
//	                     |--unix--> images  denies images that are not on its list
//	                     '--unix--> quota   denies what is too large; is too slow now and then
//
// The traffic varies but does not roll dice: call n is the same in every run,
// and what an interceptor says follows from what it is shown alone. That is
// what makes it replayable. Only the quota's slowness is a matter of the served
// process: linked into `docket replay` it is never slow, because a recorded
// timeout is answered from the record.
//
// Client and service keep journals, each line synced before the next call or
// before the answer, so that what Docket recorded can be compared with what
// both ends saw, also after a crash.
//
// Every secret in the traffic has a public sibling in the same message: a scan
// of everything that Docket wrote must find each sibling and no secret.
package demo
