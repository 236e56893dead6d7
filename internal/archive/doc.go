// Package archive fetches from Debian archives and believes nothing that is not signed.
//
// It knows the suites (suites.deb822), reads what the host's apt is told about mirrors, proxies,
// logins, keys and dates, and keeps a cache that several processes share. The chain it verifies is
// the archive's own: a key of the keyring signs the Release file, whose digests vouch for the
// indices, whose digests vouch for packages and sources. Every file is checked against size and
// digest before anybody sees it under its name in the cache.
//
//	Host      what apt is told here                    ReadHost, Host.Repos
//	Repo      one suite on one mirror
//	Client    fetching into the cache                  Client.Release → Client.Packages → Client.Debs
//	Release   a verified Release file
//
// What a package's relations mean, how a .deb or a .dsc is read, and what becomes of the files is
// left to others (deb, dsc, bootstrap); so is the exit status that a failure stands for. Errors
// wrap the sentinels of package failure and carry a hint.
package archive
