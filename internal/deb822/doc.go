// Package deb822 reads the control data that all of Debian is described in (deb822(5)): paragraphs
// of fields, parted by empty lines.
//
// There is one parser, from lists of packages of an archive, read as a stream with no more than one
// paragraph in memory, to debian/control. Readers of such files do not agree on what is one: apt
// takes any white space between fields for part of a value, dpkg takes a line of white space for an
// empty one. Syntax says whose rules hold. Which fields there must be, which may stand there twice,
// and what a value means, is left to the callers.
package deb822
