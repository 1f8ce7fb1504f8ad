//go:build !unix

package p2p

import "errors"

func limitDescriptors() error { return errors.ErrUnsupported }
