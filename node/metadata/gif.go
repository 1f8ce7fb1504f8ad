package metadata

import "bytes"

// gif inspects and cleans a GIF: comments and what programs append go, pictures,
// their timing and the number of repetitions stay.
func (t *task) gif(data []byte, where string) outcome {
	if len(data) < 13 {
		return cannot(GIF, whyDamaged)
	}
	n := 13 + gifTable(data[10])
	if n > len(data) {
		return cannot(GIF, whyDamaged)
	}
	out, rest := bytes.Clone(data[:n]), data[n:]
	pictures := 0
	for len(rest) > 0 {
		if rest[0] == 0x3B { // the end
			if len(rest) > 1 {
				t.found(Hidden, size(len(rest)-1), within(where, "after the end of the picture"))
			}
			if pictures == 0 {
				break
			}
			return outcome{format: GIF, cleaned: append(out, 0x3B)}
		}
		head, ok := gifBlockHead(rest)
		if !ok {
			break
		}
		n, ok := gifSubBlocks(rest[head:])
		if !ok {
			break
		}
		block := rest[:head+n]
		rest = rest[head+n:]
		switch {
		case block[0] == 0x2C:
			pictures++
			out = append(out, block...)
		case block[1] == 0xF9 && n == 6, gifLoop(block):
			out = append(out, block...)
		case block[1] == 0xFE:
			t.found(Comment, gifText(block[head:]), where)
		case bytes.Contains(block, []byte("XMP DataXMP")):
			t.xmp(block[14:], within(where, "XMP"))
		default:
			t.found(Hidden, gifText(block[head:]), where)
		}
	}
	return cannot(GIF, whyDamaged)
}

// gifTable returns the size of a table of colours.
func gifTable(flags byte) int {
	if flags&0x80 == 0 {
		return 0
	}
	return 3 << (flags&7 + 1)
}

// gifBlockHead returns how long a block is before its sub-blocks.
func gifBlockHead(b []byte) (int, bool) {
	switch {
	case b[0] == 0x21 && len(b) > 2:
		return 2, true
	case b[0] == 0x2C && len(b) > 11:
		n := 10 + gifTable(b[9]) + 1
		return n, n < len(b)
	}
	return 0, false
}

// gifSubBlocks returns the length of a chain of sub-blocks with its end.
func gifSubBlocks(b []byte) (int, bool) {
	for i := 0; i < len(b); i += 1 + int(b[i]) {
		if b[i] == 0 {
			return i + 1, true
		}
	}
	return 0, false
}

// gifLoop reports whether a block says how often to repeat, and nothing else.
func gifLoop(b []byte) bool {
	return len(b) == 19 && b[1] == 0xFF && (string(b[3:14]) == "NETSCAPE2.0" || string(b[3:14]) == "ANIMEXTS1.0") && b[14] == 3 && b[15] == 1
}

func gifText(sub []byte) string {
	var out []byte
	for len(sub) > 0 && int(sub[0]) < len(sub) && sub[0] != 0 && len(out) < 4*maxValue {
		out = append(out, sub[1:1+int(sub[0])]...)
		sub = sub[1+int(sub[0]):]
	}
	return string(out)
}
