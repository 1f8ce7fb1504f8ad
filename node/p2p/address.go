package p2p

import (
	"crypto/sha3"
	"encoding/base32"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// An address is a parsed "host:port" to dial.
type address struct {
	host  string
	port  uint16
	onion bool
}

func (a address) String() string {
	return net.JoinHostPort(a.host, strconv.Itoa(int(a.port)))
}

// parseAddress reads a "host:port" to dial. The host is an IPv4 address, an IPv6
// address in brackets without a zone, a DNS name or an .onion name of version 3.
// Parsing is strict and canonical: what it accepts, String gives back.
func parseAddress(s string) (address, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return address{}, ErrAddress
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return address{}, ErrAddress
	}
	a := address{host: host, port: uint16(number)}
	if a.String() != s {
		return address{}, ErrAddress // a sign, a zero in front, brackets around a name
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.String() != host || ip.Zone() != "" || ip.Is4In6() || ip.IsUnspecified() || ip.IsMulticast() {
			return address{}, ErrAddress
		}
		return a, nil
	}
	labels := strings.Split(host, ".")
	if len(host) > 253 || !validLabels(labels) {
		return address{}, ErrAddress
	}
	if last := len(labels) - 1; labels[last] == "onion" {
		if last == 0 || !validOnion(labels[last-1]) {
			return address{}, ErrAddress
		}
		a.onion = true
	}
	return a, nil
}

// validLabels wants lower-case letters, digits, hyphens and underscores. A last
// label that begins with a digit is refused: no top-level domain does, and some resolvers take 127.1 or 0x7f000001 for an IP address.
func validLabels(labels []string) bool {
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		if strings.ContainsFunc(l, notInName) {
			return false
		}
	}
	last := labels[len(labels)-1]
	return last[0] < '0' || last[0] > '9'
}

func notInName(c rune) bool {
	return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_'
}

// validOnion checks the label before .onion (Tor rend-spec-v3, section 6): base32
// of a public key, two bytes of checksum and the version. A typing error is found
// here and not by a connection that never comes.
func validOnion(label string) bool {
	raw, err := base32.StdEncoding.DecodeString(strings.ToUpper(label))
	if err != nil || len(raw) != 35 || raw[34] != 3 {
		return false
	}
	sum := sha3.Sum256([]byte(".onion checksum" + string(raw[:32]) + "\x03"))
	return sum[0] == raw[32] && sum[1] == raw[33]
}

// parseListen reads a "host:port" to listen on. The host is an IP address, empty
// for all interfaces, or localhost; another name would be asked of a resolver.
// Port 0 means any free port.
func parseListen(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return ErrAddress
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return ErrAddress
	}
	if host == "" || host == "localhost" {
		return nil
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return ErrAddress
	}
	return nil
}
