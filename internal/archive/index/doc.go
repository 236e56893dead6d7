// Package index has the lists of packages and of sources of suites, verified and read.
//
// A list is fetched in whichever compression a mirror has, and is what the Release file says, or is
// not there; release tells what that file says. Packages and Sources read a list in full, Offers
// what choosing among packages needs, AptLists names lists as the apt in a jail has to find them.
// What a package's relations mean is left to others (deb, dsc, bootstrap); the files that a list
// names are those of pool.
package index
