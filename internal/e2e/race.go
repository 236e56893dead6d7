//go:build race

package e2e

// RaceDetector is whether the tests run with the race detector.
const RaceDetector = true
