// Package hook is what users have done at moments of a build, of the making of a base, or of a
// session: their own programs, in the forms of three tools.
//
// A native hook is a program in a directory that is named after its stage:
// NAME/before-build.d/10-what. A hook directory of pbuilder's is taken unchanged: A10what …
// I10what. A command of sbuild's is a line for the shell with escapes. Load finds and checks them,
// before anything is built; Runner runs those of one stage in a jail that the caller has opened,
// RunOnHost those that sbuild defines for the host. Which stages there are, and when they come, is
// the callers' affair: internal/pkgbuild and internal/session. So are the log and what becomes of a
// failure.
//
// A hook is the caller's: it is trusted as the caller is, what it reads in the jail after the build
// is not. It runs in the jail as jail root, and has ended, with all that it started, before the
// next one begins.
package hook
