//go:build race

package store

func init() { slow = true }
