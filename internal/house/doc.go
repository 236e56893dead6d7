// Package house has no code: its tests hold the whole tree to the rules of CONTRIBUTING.md that no
// linter knows.
package house
