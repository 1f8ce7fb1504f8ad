package relay

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backchannel/backchannel/protocol/onion"
)

// A trace is what could be left of a principal.
type trace struct {
	what  string
	bytes []byte // four at least
	short bool   // it may be there by chance: only all principals' together count
}

// tracesOf are the forms in which programs hold an address, the keys of a connection and a
// name. Every visit has the same ones in the same order.
func tracesOf(at netip.AddrPort, key ed25519.PublicKey, tls []byte, name onion.ID) []trace {
	four := at.Addr().As4()
	port := []byte{byte(at.Port() >> 8), byte(at.Port())}
	turned := slices.Clone(four[:])
	slices.Reverse(turned)
	peer := append([]byte{0, 36, 8, 1, 18, 32}, key...)
	cid := append([]byte{1, 0x72}, peer...)
	return []trace{
		{"address in text", []byte(at.Addr().String()), false},
		{"address with its port", append(slices.Clone(four[:]), port...), false},
		{"address of the system", append(append([]byte{2, 0}, port...), four[:]...), false},
		{"address of 16 bytes", append([]byte{0xff, 0xff}, four[:]...), false},
		{"address as netip has it", append(slices.Clone(turned), 0xff, 0xff, 0, 0), false},
		{"address of libp2p", append(append([]byte{4}, four[:]...), 6), false},
		{"address", four[:], true},
		{"key", key, false},
		{"key in base64", []byte(base64.StdEncoding.EncodeToString(key)), false},
		{"key in hex", []byte(hex.EncodeToString(key)), false},
		{"peer ID in text", []byte(base58(peer)), false},
		{"peer ID as a CID in base 36", []byte("k" + new(big.Int).SetBytes(cid).Text(36)), false},
		{"peer ID as a CID in base 32", []byte("b" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(cid))), false},
		{"key of the certificate", tls[1:], false}, // the point, without the mark before it
		{"name", name[:], false},
		{"name in hex", []byte(hex.EncodeToString(name[:])), false},
	}
}

func base58(b []byte) string {
	const digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	n, out := new(big.Int).SetBytes(b), []byte(nil)
	for rest := new(big.Int); n.Sign() > 0; {
		n.DivMod(n, big.NewInt(58), rest)
		out = append(out, digits[rest.Int64()])
	}
	for _, x := range b {
		if x != 0 {
			break
		}
		out = append(out, digits[0])
	}
	slices.Reverse(out)
	return string(out)
}

// A search finds the traces of many visits in one pass over some bytes.
type search struct {
	visits []*visit
	begins [1 << 16]bool           // with which two bytes any of them begins
	at     map[uint32][]searched   // by the first four
	hits   map[*visit]map[int]bool // which traces of a visit were found
}

type searched struct {
	*visit
	kind int
}

func newSearch(in []byte, visits []*visit) *search {
	s := &search{visits: visits, at: map[uint32][]searched{}, hits: map[*visit]map[int]bool{}}
	for _, v := range visits {
		s.hits[v] = map[int]bool{}
		for kind, t := range v.traces {
			first := binary.BigEndian.Uint32(t.bytes)
			s.begins[first>>16] = true
			s.at[first] = append(s.at[first], searched{v, kind})
		}
	}
	for i := 0; i+4 <= len(in); i++ {
		if !s.begins[binary.BigEndian.Uint16(in[i:])] {
			continue
		}
		for _, x := range s.at[binary.BigEndian.Uint32(in[i:])] {
			if bytes.HasPrefix(in[i:], x.traces[x.kind].bytes) {
				s.hits[x.visit][x.kind] = true
			}
		}
	}
	return s
}

// of lists what was found of some of the visits.
func (s *search) of(some []*visit) (all []string) {
	if len(some) == 0 {
		return nil
	}
	for kind, t := range some[0].traces {
		of := 0
		for _, v := range some {
			if s.hits[v][kind] {
				of++
			}
		}
		if of == len(some) || of > 0 && !t.short {
			all = append(all, fmt.Sprintf("%s of %d", t.what, of))
		}
	}
	return all
}

// visited counts those of some visits of whom anything was found that is not there by chance.
func (s *search) visited(some []*visit) (n int) {
	for _, v := range some {
		for kind := range s.hits[v] {
			if !v.traces[kind].short {
				n++
				break
			}
		}
	}
	return n
}

// found lists what is in some bytes of visits.
func found(in []byte, visits []*visit) []string { return newSearch(in, visits).of(visits) }

// pairs counts the places where a principal's name stands near that of a relay.
func pairs(in []byte, visits []*visit, relays []onion.ID) (n int) {
	const near = 256
	for _, v := range visits {
		for from := 0; ; {
			i := bytes.Index(in[from:], v.name[:])
			if i < 0 {
				break
			}
			i += from
			from = i + len(v.name)
			around := in[max(0, i-near):min(len(in), from+near)]
			if slices.ContainsFunc(relays, func(id onion.ID) bool { return bytes.Contains(around, id[:]) }) {
				n++
			}
		}
	}
	return n
}

// onDisk is all that lies below a folder, with the names.
func onDisk(t *testing.T, dir string) (all []byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // it was there a moment ago
		}
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil
		}
		all = append(append(all, path...), b...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
