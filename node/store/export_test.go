package store

// TempDir is for the tests outside of the package.
var TempDir = tempDir
