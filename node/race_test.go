//go:build race

package node_test

// slow: the race detector makes everything take several times as long.
const slow = true
