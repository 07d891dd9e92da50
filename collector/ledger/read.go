// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"

	"github.com/docket-audit/docket/collector/ledger/proof"
	"github.com/docket-audit/docket/internal/regular"
)

// A ProblemKind says what sort of thing is wrong.
type ProblemKind int

// The kinds of problems.
const (
	Damaged    ProblemKind = iota // the file is not what it was
	Missing                       // it is not there
	Untrusted                     // its signature does not hold, or is by another key
	Unreadable                    // it could not be read, so that nothing is known
)

// A Problem is one thing that is wrong with a log.
type Problem struct {
	Kind ProblemKind
	Path string // of the file, relative to the ledger's directory, with slashes
	What string
}

// A Log is a log as it lies on disk.
type Log struct {
	Raw        []byte // the checkpoint as signed; nil when there is none
	Checkpoint proof.Checkpoint
	// Trusted says that the checkpoint bears the signature of the given key.
	Trusted bool
	// Leaves are the statements' digests in order: those under the checkpoint,
	// and behind them those that are integrated but not yet signed for. They end
	// before the first that cannot be read.
	Leaves [][32]byte
	// Hashes are the leaves' hashes, which make the tree; see [LeafHash]. They
	// are kept apart from the leaves, so that damage to either is told from
	// damage to the other, and from damage to what the leaves are of.
	Hashes [][32]byte
}

// LeafHash returns what a statement's digest is in the tree.
func LeafHash(digest [32]byte) [32]byte { return proof.LeafHash(digest[:]) }

// Root returns the root of the first size leaves; ok is false when there are
// fewer.
func (l *Log) Root(size uint64) (root [32]byte, ok bool) {
	if size > uint64(len(l.Hashes)) {
		return root, false
	}
	return rootOf(l.Hashes[:size]), true
}

func rootOf(hashes [][32]byte) [32]byte {
	var t proof.Tree
	for _, h := range hashes {
		t.AddHash(h[:])
	}
	return t.Root()
}

// ErrRolledBack says that a log is not an extension of a checkpoint that
// someone kept.
var ErrRolledBack = errors.New("the ledger does not continue the kept checkpoint")

// Continues tells whether the log contains all that a kept checkpoint covers.
// Its error is [ErrRolledBack] with the reason.
func (l *Log) Continues(kept proof.Checkpoint) error {
	root, ok := l.Root(kept.Size)
	switch {
	case l.Raw != nil && kept.Origin != l.Checkpoint.Origin:
		return fmt.Errorf("%w: it is of log %q, this is %q", ErrRolledBack, kept.Origin, l.Checkpoint.Origin)
	case !ok:
		return fmt.Errorf("%w: it covers %d statements, the ledger has %d", ErrRolledBack, kept.Size, len(l.Hashes))
	case root != kept.Root:
		return fmt.Errorf("%w: the first %d statements are not the ones it was signed for", ErrRolledBack, kept.Size)
	}
	return nil
}

// Read reads the log in dir, which may be in use, and checks it: the signature
// of the checkpoint under vkey (not at all when vkey is ""), and every tile
// against the tree that the leaves make.
//
// The error is ctx's; all else is a problem.
func Read(ctx context.Context, dir, vkey string) (*Log, []Problem, error) {
	r := reader{ctx: ctx, dir: dir, log: new(Log), tiles: map[tileID][]byte{}, differing: map[tileID][]string{}}
	// The order matters beside a writer: what is signed was integrated before,
	// what is integrated was bundled before.
	cpSize := r.readCheckpoint(vkey)
	state := r.readState()
	if state.Root != nil && state.Size < cpSize {
		// A writer would go on from there, and write over what is signed.
		r.problem(statePath, "is of %d leaves, the checkpoint is of %d", state.Size, cpSize)
	}
	size := max(cpSize, state.Size)
	r.readLeaves(size)
	r.chooseHashes(r.readHashes(size), cpSize)
	r.build(cpSize, state)
	r.checkFiles()
	r.checkComplete(cpSize)
	r.tellDiffering()
	return r.log, r.problems, ctx.Err()
}

// maxLogFile is the size that no file of a log has: a tile has 8 KiB, a bundle of
// leaves 16 MiB if each were as long as can be.
const maxLogFile = 16 << 20

// A tileID names a tile, or in level -1 the bundle of the leaves of one.
type tileID struct {
	level int
	index uint64
}

type reader struct {
	ctx      context.Context //nolint:containedctx // a reader lives for one call
	dir      string
	log      *Log
	problems []Problem
	// tiles is what the files of tiles must hold, as far as the tree reaches.
	tiles map[tileID][]byte
	// differing are the files that hold something else, by tile: one wrong leaf
	// contradicts every width that its tile was ever written in.
	differing map[tileID][]string
}

func (r *reader) problem(path, format string, args ...any) {
	r.problems = append(r.problems, Problem{Damaged, path, fmt.Sprintf(format, args...)})
}

func (r *reader) missing(path string) {
	r.problems = append(r.problems, Problem{Missing, path, "is missing"})
}

func (r *reader) unreadable(path string, err error) {
	if errors.Is(err, regular.ErrNot) || errors.Is(err, syscall.ENOTDIR) {
		r.problem(path, "%v", regular.ErrNot)
		return
	}
	if errors.Is(err, fs.ErrNotExist) {
		r.missing(path)
		return
	}
	r.problems = append(r.problems, Problem{Unreadable, path, err.Error()})
}

func (r *reader) read(path string) ([]byte, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	return regular.ReadAtMost(filepath.Join(r.dir, filepath.FromSlash(path)), maxLogFile)
}

func (r *reader) readCheckpoint(vkey string) uint64 {
	raw, err := r.read(layout.CheckpointPath)
	if err != nil {
		r.unreadable(layout.CheckpointPath, err)
		return 0
	}
	r.log.Raw = raw
	if vkey != "" {
		cp, err := proof.OpenCheckpoint(raw, vkey)
		if err == nil {
			r.log.Checkpoint, r.log.Trusted = cp, true
			return cp.Size
		}
		kind := Damaged
		if errors.Is(err, proof.ErrUnknownKey) || errors.Is(err, proof.ErrBadSignature) {
			kind = Untrusted
		}
		r.problems = append(r.problems, Problem{kind, layout.CheckpointPath, err.Error()})
	}
	// Unsigned it proves nothing, but it still says what to look for.
	cp, err := proof.ParseCheckpoint(raw)
	if err != nil {
		if vkey == "" {
			r.problem(layout.CheckpointPath, "%v", err)
		}
		return 0
	}
	r.log.Checkpoint = cp
	return cp.Size
}

// state is tessera's own note of how far the tree is integrated.
type state struct {
	Size uint64 `json:"size"`
	Root []byte `json:"root"`
}

const statePath = ".state/treeState"

func (r *reader) readState() state {
	var s state
	raw, err := r.read(statePath)
	if err != nil {
		r.unreadable(statePath, err)
		return s
	}
	err = json.Unmarshal(raw, &s)
	if canonical, _ := json.Marshal(s); err != nil || !bytes.Equal(canonical, raw) || len(s.Root) != 32 {
		r.problem(statePath, "is not as it was written")
		return state{}
	}
	return s
}

// inTiles calls each for the tiles of level 0, or for the bundles, that hold
// the first size entries, until it returns false.
func (r *reader) inTiles(size uint64, path func(index uint64, partial uint8) string, each func(path string, raw []byte, want int) bool) {
	// A forged size must not make us look for files without end: the first that
	// is missing ends the log.
	for index := uint64(0); index*layout.TileWidth < size; index++ {
		partial := layout.PartialTileSize(0, index, size)
		name := path(index, partial)
		raw, err := r.read(name)
		if partial != 0 && errors.Is(err, fs.ErrNotExist) {
			// A full one replaces all of the partial ones.
			if full, ferr := r.read(path(index, 0)); ferr == nil {
				name, raw, err = path(index, 0), full, nil
			}
		}
		if err != nil {
			r.unreadable(name, err)
			return
		}
		if !each(name, raw, int(min(size-index*layout.TileWidth, layout.TileWidth))) {
			return
		}
	}
}

// readLeaves reads the bundles up to size leaves.
func (r *reader) readLeaves(size uint64) {
	r.inTiles(size, layout.EntriesPath, func(path string, raw []byte, want int) bool {
		var bundle api.EntryBundle
		if err := bundle.UnmarshalText(raw); err != nil {
			r.problem(path, "is no bundle of leaves: %v", err)
			return false
		}
		if len(bundle.Entries) < want {
			r.problem(path, "has %d leaves instead of %d", len(bundle.Entries), want)
			return false
		}
		for i, leaf := range bundle.Entries[:want] {
			if len(leaf) != 32 {
				r.problem(path, "entry %d has %d bytes instead of 32", i, len(leaf))
				return false
			}
			r.log.Leaves = append(r.log.Leaves, [32]byte(leaf))
		}
		return true
	})
}

// readHashes reads the lowest tiles up to size leaf hashes.
func (r *reader) readHashes(size uint64) [][32]byte {
	var hashes [][32]byte
	r.inTiles(size, func(index uint64, partial uint8) string { return layout.TilePath(0, index, partial) },
		func(path string, raw []byte, want int) bool {
			if len(raw) < want*32 {
				r.problem(path, "has %d bytes instead of %d", len(raw), want*32)
				return false
			}
			for i := range want {
				hashes = append(hashes, [32]byte(raw[i*32:]))
			}
			return true
		})
	return hashes
}

// chooseHashes decides which hashes make the tree: those of the tiles if they
// make the root of the checkpoint, else those that the leaves have.
func (r *reader) chooseHashes(inTiles [][32]byte, cpSize uint64) {
	if uint64(len(inTiles)) >= cpSize && len(inTiles) >= len(r.log.Leaves) && rootOf(inTiles[:cpSize]) == r.log.Checkpoint.Root {
		r.log.Hashes = inTiles
		return
	}
	r.log.Hashes = make([][32]byte, len(r.log.Leaves))
	for i, leaf := range r.log.Leaves {
		r.log.Hashes[i] = LeafHash(leaf)
	}
}

// build makes the tree, compares the roots on the way, and keeps what each tile
// must hold.
func (r *reader) build(cpSize uint64, s state) {
	tree := proof.Tree{Node: func(level uint, index uint64, hash []byte) {
		if level%layout.TileHeight == 0 {
			id := tileID{int(level / layout.TileHeight), index / layout.TileWidth}
			r.tiles[id] = append(r.tiles[id], hash...)
		}
	}}
	for i := uint64(0); ; i++ {
		if i == cpSize && r.log.Raw != nil && tree.Root() != r.log.Checkpoint.Root {
			r.problem(layout.CheckpointPath, "its root is not that of the first %d leaves", cpSize)
		}
		if i == s.Size && s.Root != nil && tree.Root() != [32]byte(s.Root) {
			r.problem(statePath, "its root is not that of the first %d leaves", s.Size)
		}
		if i == uint64(len(r.log.Hashes)) {
			return
		}
		tree.AddHash(r.log.Hashes[i][:])
	}
}

// checkFiles compares every file of every tile, also the partial ones that
// newer ones have replaced. A file may reach beyond the leaves that we know:
// what an interrupted addition, or one of this moment, put there.
func (r *reader) checkFiles() {
	root := filepath.Join(r.dir, "tile")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if ctxErr := r.ctx.Err(); ctxErr != nil {
			return ctxErr
		}
		rel := filepath.ToSlash(strings.TrimPrefix(path, r.dir+string(filepath.Separator)))
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) { // the writer collects its garbage
				r.unreadable(rel, err)
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		id, width, ok := parseTilePath(rel)
		if !ok {
			return nil // left by an interrupted write; nobody reads it
		}
		r.checkFile(rel, id, width)
		return nil
	})
	if err != nil && r.ctx.Err() == nil && !errors.Is(err, fs.ErrNotExist) {
		r.unreadable("tile", err)
	}
}

func (r *reader) checkFile(path string, id tileID, width int) {
	raw, err := r.read(path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			r.unreadable(path, err)
		}
		return
	}
	compare := r.differsFrom
	if id.level < 0 {
		compare = r.bundleDiffers
	}
	if at := compare(raw, id, width); at >= 0 {
		r.differing[id] = append(r.differing[id], fmt.Sprintf("%s entry %d", path, at))
	}
}

// differsFrom returns the first hash of a tile's file that is not as it must
// be, or -1.
func (r *reader) differsFrom(raw []byte, id tileID, width int) int {
	want := r.tiles[id]
	for i := range width {
		switch {
		case len(want) < (i+1)*32:
			return -1 // beyond what we know
		case len(raw) < (i+1)*32 || !bytes.Equal(raw[i*32:(i+1)*32], want[i*32:(i+1)*32]):
			return i
		}
	}
	if len(raw) != width*32 {
		return width
	}
	return -1
}

// bundleDiffers is differsFrom for leaves, which it compares by their hashes.
func (r *reader) bundleDiffers(raw []byte, id tileID, width int) int {
	const size = 2 + 32 // a leaf behind its length
	first := id.index * layout.EntryBundleWidth
	for i := range width {
		switch {
		case first+uint64(i) >= uint64(len(r.log.Hashes)):
			return -1 // beyond what we know
		case len(raw) < (i+1)*size || raw[i*size] != 0 || raw[i*size+1] != 32:
			return i
		case proof.LeafHash(raw[i*size+2:(i+1)*size]) != r.log.Hashes[first+uint64(i)]:
			return i
		}
	}
	if len(raw) != width*size {
		return width
	}
	return -1
}

// tellDiffering makes one problem of the differing files of one tile.
func (r *reader) tellDiffering() {
	for _, files := range r.differing {
		path, entry, _ := strings.Cut(files[0], " ")
		if len(files) == 1 {
			r.problem(path, "%s does not fit the rest of the tree", entry)
		} else {
			r.problem(path, "%s, and something in %d more widths of this tile, does not fit the rest of the tree", entry, len(files)-1)
		}
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int { return strings.Compare(a.Path, b.Path) })
}

// checkComplete looks for the tiles that readers of the checkpoint need. (Those
// of level 0 and the bundles were read.)
func (r *reader) checkComplete(cpSize uint64) {
	size := min(cpSize, uint64(len(r.log.Hashes)))
	for level := uint64(1); size>>(level*layout.TileHeight) > 0; level++ {
		nodes := size >> (level * layout.TileHeight)
		for index := uint64(0); index*layout.TileWidth < nodes; index++ {
			partial := layout.PartialTileSize(level, index, size)
			path := layout.TilePath(level, index, partial)
			if !r.exists(path) && (partial == 0 || !r.exists(layout.TilePath(level, index, 0))) {
				r.missing(path)
			}
		}
	}
}

func (r *reader) exists(path string) bool {
	_, err := os.Stat(filepath.Join(r.dir, filepath.FromSlash(path)))
	return err == nil
}

// parseTilePath reads "tile/0/x001/234", "tile/entries/000.p/5" and the like.
func parseTilePath(path string) (id tileID, width int, ok bool) {
	rest, ok := strings.CutPrefix(path, "tile/")
	if !ok {
		return id, 0, false
	}
	level, rest, ok := strings.Cut(rest, "/")
	if !ok {
		return id, 0, false
	}
	id.level = -1
	if level != "entries" {
		l, err := layout.ParseTileLevel(level)
		if err != nil {
			return id, 0, false
		}
		id.level = int(l)
	}
	index, partial, err := layout.ParseTileIndexPartial(rest)
	if err != nil {
		return id, 0, false
	}
	id.index, width = index, int(partial)
	if partial == 0 {
		width = layout.TileWidth
	}
	return id, width, true
}
