// Package scratch is where builds write: how much memory their tmpfs may take together, what a
// build of a source took the last time, and whether the room there was ever used up.
//
// Whether a build writes to memory or to disk, and what follows when it was full, is decided by the
// build (pkgbuild).
package scratch
