// Package image turns a tree of mapped ids into a tar archive and back: export and import of bases.
//
// Packing and unpacking run as an applet in the holder, where the tree's ids are those that the
// jail sees. What is unpacked is hostile: the applet makes the tree its root directory before it
// reads the first entry, so the kernel resolves every name, link and ".." inside of it, and it has
// nothing else in reach. Decompression and the reading of container images happen there, too.
//
// An archive holds what decides how a base behaves: types, owners, modes, modification times,
// extended attributes (file capabilities among them), hard links. It holds nothing of the machine
// that it was made on, and the same tree gives the same bytes.
//
// What a base is called, which suite it is of, and how it becomes a generation, is left to
// internal/bases.
package image
