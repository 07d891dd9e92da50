// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/replay"
)

// checkpointEvery is how many operations are replayed between two states. What is
// under way when the process dies is replayed again.
const checkpointEvery = 1000

// stateVersion is of the state's form.
const stateVersion = 1

// A question is all that a report depends on, beside the history and who answers.
type question struct {
	Where string `json:"where"`
	Since string `json:"since"` // as they were given
	Until string `json:"until"`
	// Candidate, Against and Noise are plans: a digest, or "recorded".
	Candidate string `json:"candidate"`
	Against   string `json:"against"`
	Noise     bool   `json:"learn_noise"`
	Sample    int    `json:"sample"`
	Seed      uint64 `json:"seed"`
}

// A replayState is what --resume keeps.
type replayState struct {
	Version  int       `json:"version"`
	Question question  `json:"question"`
	From     time.Time `json:"from"` // what since and until came to when it was begun
	To       time.Time `json:"to"`
	End      string    `json:"end"` // token of the last event of the history
	// Replayed is a hash of the uids of the operations that are in the report,
	// Chosen one of all those of which a sample is taken.
	Replayed string         `json:"replayed"`
	Chosen   string         `json:"chosen,omitempty"`
	Report   *replay.Report `json:"report"`
}

// readState returns the state in a file; nil where there is no file.
func readState(name string) (*replayState, error) {
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("resume: %w", err)
	}
	var s replayState
	if err := json.Unmarshal(b, &s); err != nil || s.Report == nil || s.Version < 1 {
		return nil, cli.Hint(fmt.Errorf("resume: %s is no state of a replay", name), "give another file, or remove this one to begin anew")
	}
	if s.Version > stateVersion {
		return nil, cli.Hint(fmt.Errorf("resume: %s is of form %d, and this docket knows %d", name, s.Version, stateVersion), "go on with the docket that wrote it, or remove it to begin anew")
	}
	return &s, nil
}

func (s *replayState) write(name string) error {
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	if err := datadir.ReplaceFile(name, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}

// same says whether a state is of what is asked now.
func (s *replayState) same(name string, now question) error {
	then := s.Question
	for _, f := range []struct{ what, then, now string }{
		{"--where", then.Where, now.Where},
		{"--since", then.Since, now.Since},
		{"--until", then.Until, now.Until},
		{"the candidate", then.Candidate, now.Candidate},
		{"--against", then.Against, now.Against},
		{"--learn-noise", fmt.Sprint(then.Noise), fmt.Sprint(now.Noise)},
		{"--sample", fmt.Sprint(then.Sample), fmt.Sprint(now.Sample)},
		{"--seed", fmt.Sprint(then.Seed), fmt.Sprint(now.Seed)},
	} {
		if f.then != f.now {
			return cli.Hint(fmt.Errorf("resume: %s was begun with another question: %s was %q, and is %q", name, f.what, f.then, f.now),
				"ask what was asked then, or remove the file to begin anew")
		}
	}
	return nil
}

// A uidChain is a hash of uids in their order.
type uidChain struct {
	sum [sha256.Size]byte
	n   int
}

func (c *uidChain) add(uid string) {
	h := sha256.New()
	h.Write(c.sum[:])
	h.Write([]byte(uid))
	h.Sum(c.sum[:0])
	c.n++
}

func (c *uidChain) String() string { return hex.EncodeToString(c.sum[:]) }

// parse takes up a chain of n uids.
func (c *uidChain) parse(text string, n int) error {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != sha256.Size {
		return errors.New("its hash is mangled")
	}
	c.sum, c.n = [sha256.Size]byte(b), n
	return nil
}

// A keeper writes the state of a replay that can be gone on with, and sees that a
// replay which goes on has the operations before it that it had.
//
// Operations are read in one goroutine and taken in another, in the same order,
// reading ahead.
type keeper struct {
	name  string
	state *replayState
	begun bool     // it goes on with one that was begun
	had   uidChain // what was replayed before

	read     uidChain // of the operations that were read
	replayed uidChain // of those that are in the report
	cancel   context.CancelCauseFunc
}

// errOtherHistory says that a state is of another history.
var errOtherHistory = errors.New("the history is not what it was when the replay was begun")

func (k *keeper) other() error {
	return cli.Hint(fmt.Errorf("resume: %s: %w", k.name, errOtherHistory),
		"another store, or operations that have left by retention or were erased; remove the file to begin anew")
}

// newKeeper returns a keeper for a state, which is written when it is new.
func newKeeper(name string, s *replayState, begun bool) (*keeper, error) {
	k := &keeper{name: name, state: s, begun: begun}
	if !begun {
		k.state.Replayed = k.replayed.String()
		return k, s.write(name)
	}
	if err := k.had.parse(s.Replayed, s.Report.Operations()); err != nil {
		return nil, cli.Hint(fmt.Errorf("resume: %s: %w", name, err), "remove the file to begin anew")
	}
	k.replayed = k.had
	return k, nil
}

// options are those of the replay that is kept; it ends by cancel.
func (k *keeper) options(cancel context.CancelCauseFunc) []replay.Option {
	k.cancel = cancel
	opts := []replay.Option{replay.Select(k.sees), replay.Checkpoint(checkpointEvery, k.save)}
	if k.begun {
		opts = append(opts, replay.Resume(k.state.Report))
	}
	return opts
}

// restart is called when the history is read from its beginning.
func (k *keeper) restart() { k.read = uidChain{} }

// sees is told of each operation that is read. It selects all.
func (k *keeper) sees(op *activity.Operation) bool {
	k.read.add(string(op.UID))
	if k.begun && k.state.Question.Sample == 0 && k.read.n == k.had.n && k.read != k.had {
		k.cancel(k.other())
	}
	return true
}

// took is told of each operation that was replayed.
func (k *keeper) took(uid string) {
	if k.state.Question.Sample > 0 {
		k.sampled()
	}
	k.replayed.add(uid)
}

// sampled looks at what the sample is of. All of it was read before the first
// operation was replayed.
func (k *keeper) sampled() {
	switch {
	case k.state.Chosen == "":
		k.state.Chosen = k.read.String()
	case k.state.Chosen != k.read.String():
		k.cancel(k.other())
	}
}

// save writes the state with a report.
func (k *keeper) save(r *replay.Report) error {
	k.state.Report, k.state.Replayed = r, k.replayed.String()
	return k.state.write(k.name)
}

// ended says whether the history had all that it had, when it has been read.
func (k *keeper) ended() error {
	if !k.begun {
		return nil
	}
	if sample := k.state.Question.Sample > 0; !sample && k.read.n < k.had.n || sample && k.state.Chosen != "" && k.state.Chosen != k.read.String() {
		return k.other()
	}
	return nil
}

// done removes the file: there is nothing to go on with.
func (k *keeper) done() error {
	if err := os.Remove(k.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the state: %w", err)
	}
	return nil
}
