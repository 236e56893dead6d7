package release

import (
	"slices"
	"strings"
	"sync"
	"time"

	"nsbuild/internal/archive/aptconf"
)

// File is a verified Release file: the root from which every other file of a suite is verified.
// When the mirror changes under our hands, Files.Refresh brings it up to date in place; its
// accessors are safe for concurrent use.
type File struct {
	repo aptconf.Repo
	mu   sync.Mutex
	st   *State
}

// State is what a suite holds now: one version of its Release file, which never changes. Whoever
// reads several things of a suite that must fit together reads them of one State.
func (r *File) State() *State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.st
}

func (r *File) update(st *State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.st = st
}

// Repo is the repository it was fetched from.
func (r *File) Repo() aptconf.Repo { return r.repo }

// Codename is that field, "" when absent, as are those that follow: "trixie".
func (r *File) Codename() string { return r.State().fields["codename"] }

// Suite is the field Suite: "stable", "oldstable-security".
func (r *File) Suite() string { return r.State().fields["suite"] }

// Version is the field Version: "12.11".
func (r *File) Version() string { return r.State().fields["version"] }

// Origin is the field Origin: "Debian".
func (r *File) Origin() string { return r.State().fields["origin"] }

// Label is the field Label: "Debian-Security".
func (r *File) Label() string { return r.State().fields["label"] }

// Date is when the Release file was made.
func (r *File) Date() time.Time { return r.State().date }

// ValidUntil is the field Valid-Until; zero when absent.
func (r *File) ValidUntil() time.Time { return r.State().until }

// NotAutomatic is the field of that name: packages of backports and of experimental are installed
// only where something asks for them (apt_preferences(5)).
func (r *File) NotAutomatic() bool {
	return aptconf.Bool(r.State().fields["notautomatic"],
		false)
}

// Digest is the SHA-256 of the signed text, in hex: it changes exactly when anything in the suite
// does.
func (r *File) Digest() string { return r.State().digest }

// SignedBy lists the fingerprints of the keys whose good signatures it bears; none for a repository
// trusted without.
func (r *File) SignedBy() []string { return slices.Clone(r.State().signers) }

// Components lists the suite's components; security suites' "updates/main" is "main".
func (r *File) Components() []string {
	list := strings.Fields(r.State().fields["components"])
	for i := range list {
		list[i] = list[i][strings.LastIndexByte(list[i], '/')+1:]
	}
	return list
}

// Architectures lists the suite's architectures, "all" among them where the suite says so.
func (r *File) Architectures() []string {
	return strings.Fields(r.State().fields["architectures"])
}
