//go:build !race

package channel_test

// forgeryRace: the race detector does not watch.
const forgeryRace = false
