package p2p

import (
	"net/netip"
	"strings"
	"testing"
)

// An onion name whose checksum is right.
const onionName = "fvyrmqvxe2yeialcpsu7xlbs6xefgd5rsa6mjwycewdrpeq2jca6kyqd.onion"

func TestAddresses(t *testing.T) {
	good := []string{
		"192.0.2.1:1", "[2001:db8::1]:65535", "a.example:443", "a-b_c.example:80", "localhost:9050", "xn--bcher-kva.example:1",
		onionName + ":80", "sub." + onionName + ":80", strings.Repeat("a", 63) + ".example:1",
	}
	bad := []string{
		"", ":", ":80", "a.example", "a.example:", "a.example:0", "a.example:65536", "a.example:-1", "a.example:+80", "a.example:080", "a.example:80 ",
		"a.example:http", "192.0.2.1", "192.0.2.256:1", "192.0.2.01:1", "127.1:80", "0x7f.1:80", "2130706433:80", "0x7f000001:80",
		"2001:db8::1:80", "[2001:db8::1]", "[fe80::1%eth0]:1", "[::ffff:192.0.2.1]:1", "[2001:DB8::1]:1", "[2001:db8:0::1]:1", "[192.0.2.1]:1", "[a.example]:1",
		"0.0.0.0:1", "[::]:1", "224.0.0.1:1", "[ff02::1]:1",
		"-a.example:1", "a-.example:1", "a..example:1", ".example:1", "a.example.:1", "A.example:1", "a b.example:1", "a/b:1", "a@b.example:1", "ä.example:1", "a\x00b:1", "a\n:1",
		strings.Repeat("a", 64) + ".example:1", strings.Repeat("a.", 127) + "example:1",
		"onion:1", "short.onion:80", strings.Replace(onionName, "fvy", "fva", 1) + ":80", onionName + ".onion:80",
	}
	for _, s := range good {
		if a, err := parseAddress(s); err != nil || a.String() != s || a.onion != strings.Contains(s, ".onion") {
			t.Errorf("parseAddress(%q) = %+v, %v", s, a, err)
		}
	}
	for _, s := range bad {
		if a, err := parseAddress(s); err != ErrAddress {
			t.Errorf("parseAddress(%q) = %+v, %v; want ErrAddress", s, a, err)
		}
	}
}

func TestListenAddresses(t *testing.T) {
	for _, s := range []string{":0", "127.0.0.1:0", "[::1]:4000", "localhost:1", "0.0.0.0:1"} {
		if err := parseListen(s); err != nil {
			t.Errorf("parseListen(%q) = %v", s, err)
		}
	}
	for _, s := range []string{"", "4000", "a.example:1", "127.0.0.1:65536", "127.0.0.1:http"} {
		if err := parseListen(s); err != ErrAddress {
			t.Errorf("parseListen(%q) = %v", s, err)
		}
	}
}

func TestProxies(t *testing.T) {
	for _, s := range []string{"socks5://127.0.0.1:9050", "socks5://[::1]:9050", "socks5://proxy.example:1", "socks5://u:p@127.0.0.1:1"} {
		if p, err := parseProxy(s); err != nil || (p.auth != nil) != strings.Contains(s, "@") {
			t.Errorf("parseProxy(%q) = %+v, %v", s, p, err)
		}
	}
	for _, s := range []string{
		"127.0.0.1:9050", "socks4://127.0.0.1:1", "http://127.0.0.1:1", "socks5://127.0.0.1", "socks5://127.0.0.1:1/", "socks5://127.0.0.1:1?a", "socks5://127.0.0.1:1#a",
		"socks5://" + onionName + ":1", "socks5:127.0.0.1:1", "socks5://%zz:1",
	} {
		if _, err := parseProxy(s); err != ErrProxy {
			t.Errorf("parseProxy(%q) = %v", s, err)
		}
	}
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"192.0.2.1:1", "[2001:db8::1]:2", "a.example:3", onionName + ":4", "127.1:5", "[fe80::1%a]:6"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseAddress(s)
		if err != nil {
			return
		}
		if a.String() != s || a.port == 0 {
			t.Errorf("%q came back as %q", s, a.String())
		}
		if strings.HasSuffix(a.host, ".onion") != a.onion {
			t.Errorf("%q: onion is %t", s, a.onion)
		}
		if ip, err := netip.ParseAddr(a.host); err == nil && (ip.IsUnspecified() || ip.Zone() != "") {
			t.Errorf("%q is no place to dial", s)
		}
	})
}
