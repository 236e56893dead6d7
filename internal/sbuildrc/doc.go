// Package sbuildrc reads sbuild's configuration files without running them.
//
// They are Perl, and sbuild runs them. Most of what stands in real ones is a few forms: assignments
// of strings, numbers, lists and hashes to variables, push, and expressions of the environment.
// These are evaluated here, with Perl's own meaning: references are shared, a later assignment
// wins, my declares a variable of the file. Everything else is left alone, and the variables that
// it names are Unreadable from then on: whoever wants the value of one learns the file and the
// line. Nothing is executed, and no other file is read.
//
// What the keys mean is left to the caller.
package sbuildrc
