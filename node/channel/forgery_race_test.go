//go:build race

package channel_test

// forgeryRace: the race detector watches, which takes ten times as long.
const forgeryRace = true
