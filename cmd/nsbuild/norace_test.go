//go:build !race

package main

// raceDetector is whether the test runs with the race detector.
const raceDetector = false
