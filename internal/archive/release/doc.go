// Package release has the Release files of suites: fetched, verified, and brought up to date.
//
// A Release file is what everything else of a suite is verified by. A key of the keyring signs it
// (InRelease, or Release with Release.gpg), its name and its dates must be those of the suite that
// was asked for, and its digests vouch for the indices. A mirror that goes back in time is not
// followed. A repository that is trusted without a signature may lack the file, or what is listed
// there: it is made then, of the indices that there are.
//
// What the indices say is left to index; which keys, dates and addresses count is apt's to say, in
// aptconf.
package release
