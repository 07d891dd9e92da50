// SPDX-License-Identifier: Apache-2.0

// Package chainfile reads which interceptors run when, and makes an
// [interceptor.Plan] of it. It reads two formats, and one file holds one of
// them:
//
//   - Docket's own, with [[interceptors]] tables;
//   - an OpenShell gateway's TOML as it is, with
//     [[openshell.gateway.interceptors]] tables.
//
// The keys of an interceptor's table are the same in both:
//
//	[gateway]
//	unmatched = "allow"                 # or "deny"; of methods that no binding selects
//
//	[audit]
//	mode = "auto"                       # or "durable", "best_effort"
//	deadline = "2s"
//	answer = "release"                  # or "withhold"
//
//	[[interceptors]]
//	name = "quota"                      # unique
//	grpc_endpoint = "unix:///run/quota.sock"  # or http://, https://
//	order = 10                          # lower runs first; default 0
//	failure_policy = "fail_closed"      # or "fail_open"; default fail_closed
//	timeout = "500ms"                   # 1ms to 30s
//	max_response_bytes = 1048576
//	max_patches = 32
//	binding_policy = "dynamic"          # or "allowlist", "exact"
//
//	# In the own format only:
//	settings = { limit = 3 }            # for interceptors linked in process
//	max_concurrent = 64                 # of all its bindings; and max_queue
//	mode = "shadow"                     # or "enforce"; evaluated and recorded, never applied
//	phase_policies = { validate = "fail_closed", post_commit = "ignore" }
//	capture = "digest"                  # or "full", "none"; and capture_max
//	attributes = ["request.headers.*"]  # granted, of those that the manifest asks for
//	accessible_namespaces = ["team"]    # granted, as above; and writable_namespaces
//	tls_client_cert_path = "c.pem"      # and tls_client_key_path; https:// only
//
//	[[interceptors.bindings]]
//	id = "create"                       # dynamic: the manifest's binding that is meant
//	rpc = "demo.v1.Boxes/Create"        # or service and method
//	phases = ["validate"]               # modify_operation, validate, post_commit
//	failure_policy = "fail_open"
//	disabled = false
//	order = 1                           # own format only, as what follows
//	principals = ["user/*"]             # KIND or KIND/SUBJECT
//	labels = { env = "prod" }           # all of them; "*" is any value
//
// A bindings table takes mode, phase_policies, capture, capture_max, attributes,
// accessible_namespaces and writable_namespaces too, and wins.
//
// An interceptor describes its own bindings in a manifest. The binding policy
// says what its word is worth. Under dynamic all its bindings are in force, and
// a bindings table narrows, disables or re-polices one of them. Under allowlist
// the file lists what is in force, each entry declared by exactly one binding
// of the manifest, and the rest of the manifest is left alone. Under exact the
// file and the manifest must say the same.
//
// # Promises
//
//   - What is misspelt is refused, with FILE:LINE and a suggestion. A table
//     that selects nothing is refused: it was meant to select something.
//   - The operator's word beats the manifest's, the nearer word beats the
//     farther: bindings table, interceptor's table, manifest's binding,
//     manifest, and then fail_closed (post_commit: fail_open).
//   - Nothing is shown to a binding, or written by it, that its manifest does not
//     ask for and the file does not grant; a grant that nobody asks for is
//     refused.
//   - "ignore" exists for post_commit only, and post_commit refuses fail_closed:
//     the handler has run.
//   - What becomes of methods that nothing governs is decided in writing. Only
//     an OpenShell file may leave it out, where it means "allow", as there. Who
//     only observes, in post_commit or as a shadow, governs nothing.
//   - What is sound and still without effect, such as a granted attribute that no
//     operation has, is warned of.
//
// Of the rest of a product file the package checks only that the top tables
// are known; their owners read them.
//
// [Load] dials the interceptors and asks for their manifests. [Explain] reads
// the file without a network and says where each value comes from. [FromPlan]
// takes a plan as it was recorded. [ForTest] is Load for Go tests, where
// [Local] links an interceptor in process in place of its endpoint; [Link] does
// so by what its settings say.
package chainfile
