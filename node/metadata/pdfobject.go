package metadata

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

var errPDF = errors.New("not a PDF that is understood")

// The values of PDF. A number stays as it is written, so that it is copied to the
// digit; a bool is a pdfWord, and so is null.
type (
	pdfName   string // without escapes
	pdfString string // without escapes
	pdfNumber string
	pdfWord   string
	pdfArray  []any
	pdfDict   map[pdfName]any
	pdfRef    int // an object by its number; generations are checked when read
	pdfStream struct {
		dict pdfDict
		raw  string // as it is packed
	}
)

const pdfNull = pdfWord("null")

// maxNesting is how deep arrays and dictionaries may lie in one another.
const maxNesting = 60

// A pdfLexer reads values.
type pdfLexer struct {
	t    *task
	data string
	at   int
}

const (
	pdfSpace     = "\x00\t\n\f\r "
	pdfDelimiter = "()<>[]{}/%"
)

// pdfClass says of each character whether it is a space (1), a delimiter (2) or a
// regular one (0).
var pdfClass = func() (class [256]byte) {
	for _, c := range []byte(pdfSpace) {
		class[c] = 1
	}
	for _, c := range []byte(pdfDelimiter) {
		class[c] = 2
	}
	return class
}()

func isPDFSpace(c byte) bool { return pdfClass[c] == 1 }

func isPDFRegular(c byte) bool { return pdfClass[c] == 0 }

// skip passes over spaces and comments.
func (l *pdfLexer) skip() {
	for l.at < len(l.data) {
		switch c := l.data[l.at]; {
		case isPDFSpace(c):
			l.at++
		case c == '%':
			for l.at < len(l.data) && l.data[l.at] != '\n' && l.data[l.at] != '\r' {
				l.at++
			}
		default:
			return
		}
	}
}

// word takes the regular characters that come next.
func (l *pdfLexer) word() string {
	start := l.at
	for l.at < len(l.data) && isPDFRegular(l.data[l.at]) {
		l.at++
	}
	return l.data[start:l.at]
}

// value reads a value; references are resolved by nobody here.
func (l *pdfLexer) value(depth int) (any, error) {
	l.skip()
	if l.at >= len(l.data) || depth > maxNesting {
		return nil, errPDF
	}
	if !l.t.value() {
		return nil, errSpent
	}
	rest := l.data[l.at:]
	switch {
	case rest[0] == '/':
		l.at++
		return pdfName(pdfUnescapeName(l.word())), nil
	case rest[0] == '(':
		return l.literal()
	case strings.HasPrefix(rest, "<<"):
		l.at += 2
		return l.dict(depth)
	case rest[0] == '<':
		return l.hex()
	case rest[0] == '[':
		l.at++
		return l.array(depth)
	case !isPDFRegular(rest[0]):
		return nil, errPDF
	}
	w := l.word()
	if !isPDFNumber(w) {
		return pdfWord(w), nil
	}
	if ref, ok := l.reference(w); ok {
		return ref, nil
	}
	return pdfNumber(w), nil
}

func isPDFNumber(w string) bool {
	digits := 0
	for i, c := range []byte(w) {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c == '.', i == 0 && (c == '-' || c == '+'), c == '-':
		default:
			return false
		}
	}
	return digits > 0
}

// reference reads the rest of "12 0 R" if that is what stands here.
func (l *pdfLexer) reference(w string) (pdfRef, bool) {
	n, ok := pdfInt(w)
	if !ok {
		return 0, false
	}
	ahead := pdfLexer{t: l.t, data: l.data, at: l.at}
	ahead.skip()
	if _, ok := pdfInt(ahead.word()); !ok {
		return 0, false
	}
	ahead.skip()
	if ahead.word() != "R" {
		return 0, false
	}
	l.at = ahead.at
	return pdfRef(n), true
}

// pdfInt reads a whole number that is not negative.
func pdfInt(w string) (int, bool) {
	if w == "" || w[0] < '0' || w[0] > '9' || len(w) > 12 {
		return 0, false
	}
	n, err := strconv.Atoi(w)
	return n, err == nil
}

func (l *pdfLexer) array(depth int) (any, error) {
	a := pdfArray{}
	for {
		l.skip()
		if l.at < len(l.data) && l.data[l.at] == ']' {
			l.at++
			return a, nil
		}
		v, err := l.value(depth + 1)
		if err != nil {
			return nil, err
		}
		a = append(a, v)
	}
}

func (l *pdfLexer) dict(depth int) (any, error) {
	d := pdfDict{}
	for {
		l.skip()
		if strings.HasPrefix(l.data[l.at:], ">>") {
			l.at += 2
			return d, nil
		}
		key, err := l.value(depth + 1)
		name, ok := key.(pdfName)
		if err != nil || !ok {
			return nil, cmpPDF(err)
		}
		if d[name], err = l.value(depth + 1); err != nil {
			return nil, err
		}
	}
}

func cmpPDF(err error) error {
	if err != nil {
		return err
	}
	return errPDF
}

// literal reads a string in brackets.
func (l *pdfLexer) literal() (any, error) {
	var out []byte
	open := 0
	for ; l.at < len(l.data); l.at++ {
		switch c := l.data[l.at]; c {
		case '(':
			if open++; open > 1 {
				out = append(out, c)
			}
		case ')':
			if open--; open == 0 {
				l.at++
				return pdfString(out), nil
			}
			out = append(out, c)
		case '\\':
			l.at++
			out = l.escape(out)
		default:
			out = append(out, c)
		}
	}
	return nil, errPDF
}

// escape reads what follows a backslash and stops on its last character.
func (l *pdfLexer) escape(out []byte) []byte {
	if l.at >= len(l.data) {
		return out
	}
	c := l.data[l.at]
	if i := strings.IndexByte("nrtbf", c); i >= 0 {
		return append(out, "\n\r\t\b\f"[i])
	}
	switch {
	case c == '\r':
		if l.at+1 < len(l.data) && l.data[l.at+1] == '\n' {
			l.at++
		}
		return out
	case c == '\n':
		return out
	case c >= '0' && c <= '7':
		n := 0
		for i := 0; i < 3 && l.at < len(l.data) && l.data[l.at] >= '0' && l.data[l.at] <= '7'; i++ {
			n = n<<3 | int(l.data[l.at]-'0')
			l.at++
		}
		l.at--
		return append(out, byte(n))
	}
	return append(out, c)
}

// hex reads a string in angle brackets.
func (l *pdfLexer) hex() (any, error) {
	end := strings.IndexByte(l.data[l.at:], '>')
	if end < 0 || !l.t.scan(end) {
		return nil, errPDF
	}
	b, ok := unhex(l.data[l.at+1 : l.at+end])
	l.at += end + 1
	if !ok {
		return nil, errPDF
	}
	return pdfString(b), nil
}

// unhex reads digits, spaces among them.
func unhex(s string) ([]byte, bool) {
	out := make([]byte, 0, len(s)/2+1)
	half := -1
	for _, c := range []byte(s) {
		if isPDFSpace(c) {
			continue
		}
		d, err := strconv.ParseUint(string(c), 16, 8)
		switch {
		case err != nil:
			return nil, false
		case half < 0:
			half = int(d)
		default:
			out, half = append(out, byte(half<<4|int(d))), -1
		}
	}
	if half >= 0 {
		out = append(out, byte(half<<4))
	}
	return out, true
}

// pdfUnescapeName reads the #xx of a name.
func pdfUnescapeName(s string) string {
	if !strings.Contains(s, "#") {
		return s
	}
	var out []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '#' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				out = append(out, byte(n))
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

// text reads a string for a person: UTF-16, UTF-8 or one byte a character.
func (s pdfString) text() string {
	switch v := string(s[:min(len(s), 8*maxValue)]); {
	case strings.HasPrefix(v, "\xFE\xFF"):
		var u []uint16
		for v = v[2:]; len(v) > 1; v = v[2:] {
			u = append(u, uint16(v[0])<<8|uint16(v[1]))
		}
		return string(utf16.Decode(u))
	case strings.HasPrefix(v, "\xEF\xBB\xBF"):
		return v[3:]
	default:
		var r []rune
		for _, c := range []byte(v) {
			r = append(r, rune(c))
		}
		return string(r)
	}
}

// keys lists the keys of a dictionary in one order for ever.
func (d pdfDict) keys() []pdfName {
	keys := make([]pdfName, 0, len(d))
	for k := range d {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// appendPDF writes a value. number gives the new number of an object.
func appendPDF(out []byte, v any, number func(pdfRef) int) []byte {
	switch v := v.(type) {
	case pdfName:
		return appendPDFName(out, v)
	case pdfString:
		return appendPDFString(out, v)
	case pdfNumber:
		return append(out, v...)
	case pdfRef:
		n := number(v)
		if n == 0 {
			return append(out, pdfNull...)
		}
		return append(strconv.AppendInt(out, int64(n), 10), " 0 R"...)
	case pdfArray:
		out = append(out, '[')
		for i, e := range v {
			if i > 0 {
				out = append(out, ' ')
			}
			out = appendPDF(out, e, number)
		}
		return append(out, ']')
	case pdfDict:
		out = append(out, "<<"...)
		for _, k := range v.keys() {
			out = append(appendPDFName(out, k), ' ')
			out = append(appendPDF(out, v[k], number), '\n')
		}
		return append(out, ">>"...)
	case pdfWord:
		return append(out, v...)
	}
	return append(out, pdfNull...)
}

const hexDigits = "0123456789ABCDEF"

func appendPDFName(out []byte, n pdfName) []byte {
	out = append(out, '/')
	for _, c := range []byte(n) {
		if c <= ' ' || c > '~' || c == '#' || !isPDFRegular(c) {
			out = append(out, '#', hexDigits[c>>4], hexDigits[c&15])
		} else {
			out = append(out, c)
		}
	}
	return out
}

func appendPDFString(out []byte, s pdfString) []byte {
	plain := true
	for _, c := range []byte(s) {
		plain = plain && c >= ' ' && c <= '~'
	}
	if !plain {
		out = append(out, '<')
		for _, c := range []byte(s) {
			out = append(out, hexDigits[c>>4], hexDigits[c&15])
		}
		return append(out, '>')
	}
	out = append(out, '(')
	for _, c := range []byte(s) {
		if c == '(' || c == ')' || c == '\\' {
			out = append(out, '\\')
		}
		out = append(out, c)
	}
	return append(out, ')')
}
