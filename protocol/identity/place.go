package identity

import (
	"bytes"
	"crypto/sha3"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// PlaceKind says what a place is.
type PlaceKind byte

// The kinds of place.
const (
	PlaceNone  PlaceKind = 0 // cannot be reached; must reach out itself
	PlaceIPv4  PlaceKind = 1 // address 4, port 2
	PlaceIPv6  PlaceKind = 2 // address 16, port 2
	PlaceOnion PlaceKind = 3 // Tor v3 public key 32, port 2
	PlaceName  PlaceKind = 4 // length 1, DNS name at most 33, port 2
	PlaceDrop  PlaceKind = 5 // ID of a relay 20, in the network that is named beside it
)

// String returns the kind's name.
func (k PlaceKind) String() string {
	switch k {
	case PlaceNone:
		return "none"
	case PlaceIPv4:
		return "IPv4"
	case PlaceIPv6:
		return "IPv6"
	case PlaceOnion:
		return "onion"
	case PlaceName:
		return "name"
	case PlaceDrop:
		return "drop"
	default:
		return "unknown"
	}
}

const (
	// MaxPlace is the longest encoding of a place in bytes.
	MaxPlace = 37
	maxName  = 33
	keySize  = 32
)

// ErrPlace is returned for an address that cannot be a place.
var ErrPlace = errors.New("not an address of the form host:port that can be handed out")

// A RelayID is the name of a relay in packets.
type RelayID [20]byte

// DropPlace returns the place that is a drop.
func DropPlace(id RelayID) Place { return Place{kind: PlaceDrop, host: string(id[:])} }

// Drop returns the relay if p is a drop.
func (p Place) Drop() (id RelayID, ok bool) {
	if p.kind != PlaceDrop {
		return id, false
	}
	return RelayID([]byte(p.host)), true
}

// A Place is where a side can be reached. The zero Place is none.
type Place struct {
	kind PlaceKind
	host string // canonical text
	port uint16
}

// IsNone reports whether p says that the side cannot be reached.
func (p Place) IsNone() bool { return p.kind == PlaceNone }

// Kind returns the kind of p.
func (p Place) Kind() PlaceKind { return p.kind }

// Address returns host:port for dialling, with brackets for IPv6, or "" for none and a
// drop.
func (p Place) Address() string {
	switch p.kind {
	case PlaceNone, PlaceDrop:
		return ""
	case PlaceIPv6:
		return "[" + p.host + "]:" + strconv.Itoa(int(p.port))
	default:
		return p.host + ":" + strconv.Itoa(int(p.port))
	}
}

// PlaceOf parses host:port as a person writes it. The host is an IP address, a
// version 3 onion address or a DNS name of at most 33 characters.
func PlaceOf(address string) (Place, error) {
	i := strings.LastIndexByte(address, ':')
	if i < 0 {
		return Place{}, ErrPlace
	}
	port, err := strconv.ParseUint(address[i+1:], 10, 16)
	if err != nil || port == 0 {
		return Place{}, ErrPlace
	}
	host := strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(address[:i], "["), "]"))
	p := Place{host: host, port: uint16(port)}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.IsUnspecified() || ip.IsMulticast() || ip.Zone() != "" {
			return Place{}, ErrPlace
		}
		ip = ip.Unmap()
		p.host, p.kind = ip.String(), PlaceIPv6
		if ip.Is4() {
			p.kind = PlaceIPv4
		}
		return p, nil
	}
	if key, ok := strings.CutSuffix(host, ".onion"); ok {
		if _, err := onionKey(key); err != nil {
			return Place{}, ErrPlace
		}
		p.kind = PlaceOnion
		return p, nil
	}
	if !validName(host) {
		return Place{}, ErrPlace
	}
	p.kind = PlaceName
	return p, nil
}

// Append appends the encoding of p: kind, then what the kind says.
func (p Place) Append(b []byte) []byte {
	b = append(b, byte(p.kind))
	switch p.kind {
	case PlaceNone:
		return b
	case PlaceDrop:
		return append(b, p.host...)
	case PlaceIPv4, PlaceIPv6:
		b = append(b, netip.MustParseAddr(p.host).AsSlice()...)
	case PlaceOnion:
		key, err := onionKey(strings.TrimSuffix(p.host, ".onion"))
		if err != nil {
			panic("identity: a Place that PlaceOf did not make")
		}
		b = append(b, key...)
	case PlaceName:
		b = append(b, byte(len(p.host)))
		b = append(b, p.host...)
	}
	return binary.BigEndian.AppendUint16(b, p.port)
}

// ParsePlace parses a place at the start of b and returns what follows it.
func ParsePlace(b []byte) (Place, []byte, error) {
	if len(b) == 0 {
		return Place{}, nil, ErrFormat
	}
	kind, rest := PlaceKind(b[0]), b[1:]
	var size int
	switch kind {
	case PlaceNone:
		return Place{}, rest, nil
	case PlaceDrop:
		if len(rest) < len(RelayID{}) {
			return Place{}, nil, ErrFormat
		}
		return DropPlace(RelayID(rest)), rest[len(RelayID{}):], nil
	case PlaceIPv4:
		size = 4
	case PlaceIPv6:
		size = 16
	case PlaceOnion:
		size = keySize
	case PlaceName:
		if len(rest) == 0 || rest[0] > maxName {
			return Place{}, nil, ErrFormat
		}
		size, rest = int(rest[0]), rest[1:]
	default:
		return Place{}, nil, ErrFormat
	}
	if len(rest) < size+2 {
		return Place{}, nil, ErrFormat
	}
	host := hostText(kind, rest[:size])
	port := strconv.Itoa(int(binary.BigEndian.Uint16(rest[size:])))
	p, err := PlaceOf(host + ":" + port)
	rest = rest[size+2:]
	// What is parsed must be what Append makes of it: one encoding a place.
	if err != nil || !bytes.Equal(p.Append(nil), b[:len(b)-len(rest)]) {
		return Place{}, nil, ErrFormat
	}
	return p, rest, nil
}

func hostText(kind PlaceKind, b []byte) string {
	switch kind {
	case PlaceIPv4:
		return netip.AddrFrom4([4]byte(b)).String()
	case PlaceIPv6:
		return "[" + netip.AddrFrom16([16]byte(b)).String() + "]"
	case PlaceOnion:
		return onionText(b) + ".onion"
	case PlaceNone, PlaceName, PlaceDrop:
		return string(b)
	default:
		return ""
	}
}

var onionEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// onionText is the label of a version 3 onion address (Tor rend-spec-v3 §6).
func onionText(key []byte) string {
	h := sha3.New256()
	h.Write([]byte(".onion checksum"))
	h.Write(key)
	h.Write([]byte{3})
	sum := h.Sum(nil)
	return onionEncoding.EncodeToString(append(append(append([]byte(nil), key...), sum[:2]...), 3))
}

func onionKey(text string) ([]byte, error) {
	raw, err := onionEncoding.DecodeString(text)
	if err != nil || len(raw) != keySize+3 || onionText(raw[:keySize]) != text {
		return nil, ErrPlace
	}
	return raw[:keySize], nil
}

func validName(s string) bool {
	if len(s) == 0 || len(s) > maxName || strings.HasSuffix(s, ".onion") {
		return false
	}
	letter := false
	for _, part := range strings.Split(s, ".") {
		if part == "" || part[0] == '-' || part[len(part)-1] == '-' {
			return false
		}
		for _, c := range part {
			switch {
			case c >= 'a' && c <= 'z':
				letter = true
			case c >= '0' && c <= '9', c == '-':
			default:
				return false
			}
		}
	}
	return letter // all digits and dots would be a mistyped address
}
