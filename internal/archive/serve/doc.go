// Package serve is an archive over HTTP for an apt that has no network of its own: that of a
// program in a jail which installs packages by itself.
//
// It hands out the lists of index and, as they are asked for, the packages that these list. Where
// it listens, and who can reach it there, is its caller's to see to.
package serve
