// SPDX-License-Identifier: Apache-2.0

package interceptor

// Dropped returns the JSON Pointers of what [Payload.JSON] leaves out: the secret
// fields that are set. It walks the message each time.
func (p *Payload) Dropped() []string { return p.walk.Dropped(p.msg) }
