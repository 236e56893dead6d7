// Package buildlog writes the log of one build in the format of Debian's sbuild (that of version
// 0.89), because people and tools read it: title boxes 78 characters wide, the header's fields,
// sections, paths replaced by names such as <<PKGBUILDDIR>>, a summary of sorted fields, two
// closing lines.
//
// A Log takes the output of the jail as it comes, in any pieces and from several streams at once,
// cuts it into lines, filters each line, writes it to the file at once, keeps the last lines for
// the report of a failure, and lets an Explainer look at each line for known causes. It holds a
// bounded amount of memory however much is written to it.
//
// The format's facts are those of the sbuild(1) manual and of real logs. What a build's stages are,
// and when each section begins, is left to the caller; so is the exit status.
package buildlog
