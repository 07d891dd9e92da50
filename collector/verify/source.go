// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"context"

	"github.com/docket-audit/docket/collector/lake"
)

// A source is where a store lies: in files of the directory, or in tables. What is
// read of it is judged by the same rules.
type source interface {
	// place is where a statement is, and whole what stands for all of them; holds is
	// what rows lie in.
	place(number uint64) Place
	whole() Place
	holds() string

	// begin reads the statements that there are. What is read may stay until release.
	begin(ctx context.Context) (release func(), err error)
	// next reads one more, which came since.
	next(ctx context.Context) bool
	// fold makes what all of them amount to.
	fold()
	// rows reads the rows, and compares them with the statements.
	rows(ctx context.Context) (*rows, error)
	// notes says what else there is to say.
	notes()
}

// files is a lake.
type files struct {
	*verifier

	manifest manifest
}

func (f *files) place(number uint64) Place { return statementPlace(number) }

func (f *files) whole() Place { return Place{File: inLake(lake.ManifestPath)} }

func (f *files) holds() string { return "files" }

func (f *files) begin(context.Context) (release func(), err error) {
	release = func() {}
	if f.state == ownerLives {
		pin, err := lake.NewPin(f.lakePath())
		if err != nil {
			return nil, err
		}
		release = pin.Release
	}
	f.manifest = f.readManifest()
	f.readStatements()
	return release, nil
}

func (f *files) next(context.Context) bool {
	return f.readStatement(uint64(len(f.statements)) + 1)
}

func (f *files) fold() { f.checkManifest(f.manifest) }

func (f *files) rows(ctx context.Context) (*rows, error) {
	f.checkBalance()
	f.checkUnsignedLeft(ctx)
	return f.checkFiles(ctx)
}

func (f *files) notes() {
	f.noteForeign()
	f.noteTakenBack()
}
