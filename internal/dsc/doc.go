// Package dsc reads what describes a Debian build: source packages (.dsc), source directories
// (debian/control, debian/changelog), and what a build leaves (.changes, .buildinfo).
//
// Everything it reads may come from an enemy. Signatures are looked at first, and only the text
// that was signed is parsed; a name of a file is checked before anything is opened under it; sizes
// and hashes are checked against what the document promised. An error names the file, the line, the
// field, what is wrong with it and what can be done.
//
// Build relations are parsed and reduced to what holds for one build (architectures, profiles, kind
// of build), with the semantics of sbuild and dpkg. The package decides nothing else about
// dependencies: which packages satisfy them is left to the suite's own apt. It neither downloads
// nor unpacks.
//
// Version comparison is that of pault.ag/go/debian. Control data, relations and architectures are
// parsed here: go-debian's decoder accepts unsigned text in signed documents and duplicate fields,
// its relations lose positions and profile formulas, and its architecture table misjudges
// wildcards.
package dsc
