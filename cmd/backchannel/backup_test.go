package main

import (
	"bytes"
	"crypto/rand"
	"os"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/backchannel/backchannel/protocol/backup"
	"github.com/backchannel/backchannel/protocol/label"
	"github.com/backchannel/backchannel/protocol/secret"

	"golang.org/x/crypto/argon2"
)

func scriptHalve(ts *testscript.TestScript, _ bool, args []string) {
	raw := []byte(ts.ReadFile(args[0]))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), raw[:len(raw)/2], 0o600))
}

func scriptFlip(ts *testscript.TestScript, _ bool, args []string) {
	raw := []byte(ts.ReadFile(args[0]))
	at, err := strconv.Atoi(args[2])
	ts.Check(err)
	raw[at] ^= 0x10
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), raw, 0o600))
}

// scriptLater writes what a program of the next version may write: the preamble that
// every version keeps, and blocks that this one need not understand.
func scriptLater(ts *testscript.TestScript, _ bool, args []string) {
	file := make([]byte, backup.MinSize)
	_, _ = rand.Read(file)
	salt := file[:32]
	stretched := argon2.IDKey([]byte(args[1]), salt, 1, 64, 1, secret.Size)
	root := label.Derive(label.BackupRoot, stretched, salt, secret.Size, nil)
	header := [16]byte{3, 1, 0}
	commit := label.MAC(label.BackupCommit, root, header[:])
	for i, m := range label.Derive(label.BackupHeader, root, nil, 16) {
		header[i] ^= m
	}
	copy(file[32:], bytes.Join([][]byte{header[:], commit[:]}, nil))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), file, 0o600))
}
