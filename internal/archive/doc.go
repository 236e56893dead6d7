// Package archive fetches from Debian archives and believes nothing that is not signed.
//
// The chain it verifies is the archive's own: a key of the keyring signs the Release file, whose
// digests vouch for the indices, whose digests vouch for packages and sources. Every file is
// checked against size and digest before anybody sees it under its name in the cache. A Client is
// put together of parts with one job each:
//
//	release   Release files: fetched, verified, brought up to date       Client.Release
//	index     lists of packages and of sources                           Client.Packages, Sources
//	pool      packages' files, copies of them, packages of the caller's  Client.Debs, Local
//
// Below these lie suites (the suite table), aptconf (where this host's apt fetches from),
// signature, fetch, cache, hashes and failure; serve shows all of it to an apt without network.
// What a package's relations mean, how a .deb or a .dsc is read, and what becomes of the files is
// left to others (deb, dsc, bootstrap); so is the exit status that a failure stands for.
package archive
