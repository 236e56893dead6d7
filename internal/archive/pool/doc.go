// Package pool has the files of packages: those of suites, fetched and verified, recompressed
// copies of them, and packages that are the caller's own.
//
// A file is kept in the cache by its digest, as the list says that names it (index). How a .deb is
// read, and when copies are worth making, is left to others (deb, copies).
package pool
