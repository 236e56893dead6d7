package compared

// Verdict is what was found out about a build that was done again, or twice.
type Verdict string

// The verdicts.
const (
	Identical Verdict = "identical"
	Differs   Verdict = "differs"
	Undecided Verdict = "undecided" // what is needed is missing
	Failed    Verdict = "failed"    // it does not build
)

// What became of a file that a build had made.
const (
	StateSame    = "same"
	StateDiffers = "differs"
	StateMissing = "missing" // the second build has not made it
	StateAdded   = "added"   // the first build had not
)
