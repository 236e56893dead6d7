// Package strays says what is to be done about processes that a build or a command of a session
// leaves running. They are ended in any case; what differs is who hears of it. Finding and ending
// them is left to internal/sandbox.
package strays

// Policy is the user's choice.
type Policy string

const (
	Kill Policy = "kill" // say nothing more
	Warn Policy = "warn" // tell the user
	Fail Policy = "fail" // tell the user, and take it as a failure
)

// Known tells whether it is one of them.
func (p Policy) Known() bool { return p == Kill || p.Shown() }

// Shown tells whether the user is told of each process.
func (p Policy) Shown() bool { return p == Warn || p == Fail }
