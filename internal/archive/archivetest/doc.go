// Package archivetest serves a small Debian archive, and makes clients that fetch from it, for the
// tests of the packages below internal/archive.
//
// What an archive holds, and which faults a mirror has, is fakedebian's; here is what all of these
// tests begin with.
package archivetest
