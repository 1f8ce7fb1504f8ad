package metadata

import (
	"bytes"
	"encoding/xml"
	"errors"
	"strings"
	"unicode/utf8"
)

var errMarkup = errors.New("not XML that is understood")

// A markupToken is a piece of XML as it stands in the file: names keep their
// prefixes and values their escapes, so that what is not changed is copied byte
// for byte.
type markupToken struct {
	kind  markupKind
	raw   []byte
	name  string // of a tag, without its prefix
	full  string // of a tag, with it
	attrs []markupAttr
	empty bool // <a/>
}

type markupKind byte

const (
	markupText markupKind = 1 + iota // also CDATA
	markupStart
	markupClose
	markupComment
	markupInstruction // <?xml …?>
)

// A markupAttr is one attribute.
type markupAttr struct {
	name, full string
	value      string // with escapes
}

// text returns the value without escapes.
func (a markupAttr) text() string { return unescape(a.value) }

// unescape reads the escapes of XML. What is wrong stays as it is.
func unescape(s string) string {
	if !strings.Contains(s, "&") {
		return s
	}
	if len(s) > 8*maxValue { // nothing longer is looked at
		s = s[:8*maxValue]
	}
	d := xml.NewDecoder(strings.NewReader(s))
	d.Strict = false
	var out strings.Builder
	for {
		token, err := d.RawToken()
		if err != nil {
			return out.String()
		}
		if text, ok := token.(xml.CharData); ok {
			out.Write(text)
		}
	}
}

func escape(s string) string {
	var out strings.Builder
	_ = xml.EscapeText(&out, []byte(s)) // a Builder takes everything
	return out.String()
}

// A markupReader cuts XML into tokens.
type markupReader struct {
	t    *task
	rest []byte
}

// newMarkup takes UTF-8 only, which is what the formats of offices are written
// in.
func newMarkup(t *task, data []byte) (*markupReader, error) {
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	if !utf8.Valid(data) {
		return nil, errMarkup
	}
	return &markupReader{t: t, rest: data}, nil
}

// next returns the next token, and false at the end.
func (r *markupReader) next() (k markupToken, ok bool, err error) {
	switch {
	case len(r.rest) == 0:
		return k, false, nil
	case !r.t.value():
		return k, false, errSpent
	case r.rest[0] != '<':
		k.kind, k.raw = markupText, r.cut(bytes.IndexByte(r.rest, '<'))
		return k, true, nil
	}
	for _, m := range []struct {
		begin, end string
		kind       markupKind
	}{{"<!--", "-->", markupComment}, {"<![CDATA[", "]]>", markupText}, {"<?", "?>", markupInstruction}} {
		if bytes.HasPrefix(r.rest, []byte(m.begin)) {
			i := bytes.Index(r.rest[len(m.begin):], []byte(m.end))
			if i < 0 {
				return k, false, errMarkup
			}
			k.kind, k.raw = m.kind, r.cut(len(m.begin)+i+len(m.end))
			return k, true, nil
		}
	}
	if bytes.HasPrefix(r.rest, []byte("<!")) { // definitions could hide text anywhere
		return k, false, errMarkup
	}
	end := tagEnd(r.rest)
	if end < 0 {
		return k, false, errMarkup
	}
	k.raw = r.cut(end)
	err = k.tag(r.t)
	return k, err == nil, err
}

// cut takes n bytes, or all that is left.
func (r *markupReader) cut(n int) []byte {
	if n < 0 {
		n = len(r.rest)
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// tagEnd returns the length of a tag, whose values may hold a ">".
func tagEnd(b []byte) int {
	quote := byte(0)
	for i, c := range b {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return i + 1
		}
	}
	return -1
}

const markupSpace = " \t\r\n"

// tag reads the inside of a tag.
func (k *markupToken) tag(t *task) error {
	body := string(k.raw[1 : len(k.raw)-1])
	k.kind = markupStart
	if strings.HasPrefix(body, "/") {
		k.kind, body = markupClose, body[1:]
	}
	if strings.HasSuffix(body, "/") {
		k.empty, body = true, body[:len(body)-1]
	}
	end := strings.IndexAny(body, markupSpace)
	if end < 0 {
		end = len(body)
	}
	k.full = body[:end]
	k.name = local(k.full)
	if k.name == "" {
		return errMarkup
	}
	for body = strings.TrimLeft(body[end:], markupSpace); body != ""; body = strings.TrimLeft(body, markupSpace) {
		full, rest, ok := strings.Cut(body, "=")
		rest = strings.TrimLeft(rest, markupSpace)
		if !ok || rest == "" || rest[0] != '"' && rest[0] != '\'' || !t.value() || len(k.attrs) >= maxAttrs {
			return errMarkup
		}
		end := strings.IndexByte(rest[1:], rest[0])
		if end < 0 {
			return errMarkup
		}
		full = strings.TrimRight(full, markupSpace)
		k.attrs = append(k.attrs, markupAttr{name: local(full), full: full, value: rest[1 : 1+end]})
		body = rest[end+2:]
	}
	return nil
}

// local returns a name without its prefix.
func local(full string) string { return full[strings.LastIndexByte(full, ':')+1:] }

// write writes a start tag anew.
func (k *markupToken) write(out []byte) []byte {
	out = append(append(out, '<'), k.full...)
	for _, a := range k.attrs {
		out = append(append(append(append(out, ' '), a.full...), `="`...), strings.ReplaceAll(a.value, `"`, "&quot;")...)
		out = append(out, '"')
	}
	if k.empty {
		out = append(out, '/')
	}
	return append(out, '>')
}

// A markupRules says what to change.
type markupRules struct {
	// drop: the element goes, with all that is in it. Its text is reported under
	// the kind, unless that is zero or there is none.
	drop func(k *markupToken) (Kind, bool)
	// attr returns the new value of an attribute, and whether it stays.
	attr func(k *markupToken, a markupAttr) (string, bool)
	// text returns the new text of an element, which has its full name.
	text func(name, text string) string
}

// A markupCopy is XML being copied under rules.
type markupCopy struct {
	t     *task
	where string
	rules markupRules
	out   []byte
	open  []string // full names of the elements around

	dropping int // depth in what is dropped
	kind     Kind
	dropped  []byte // its text, as far as it is reported
}

// rewrite copies XML under rules. Comments are left out.
func (t *task) rewrite(data []byte, where string, rules markupRules) ([]byte, error) {
	r, err := newMarkup(t, data)
	if err != nil {
		return nil, err
	}
	c := &markupCopy{t: t, where: where, rules: rules, out: make([]byte, 0, len(data))}
	for {
		k, ok, err := r.next()
		if err != nil || !ok {
			return c.out, err
		}
		if len(c.open) > maxOpen {
			return nil, errMarkup
		}
		c.token(&k)
	}
}

func (c *markupCopy) token(k *markupToken) {
	if k.kind == markupComment {
		c.t.found(Comment, string(k.raw[4:len(k.raw)-3]), c.where)
		return
	}
	if c.dropping > 0 {
		c.inDropped(k)
		return
	}
	switch {
	case k.kind == markupStart:
		if kind, drop := c.rules.drop(k); drop {
			c.kind, c.dropping, c.dropped = kind, k.depth(), nil
			if c.dropping == 0 {
				c.endDropped()
			}
			return
		}
		if !k.empty {
			c.open = append(c.open, k.full)
		}
		c.start(k)
	case k.kind == markupClose:
		c.open = c.open[:max(0, len(c.open)-1)]
		c.out = append(c.out, k.raw...)
	case k.kind == markupText && len(c.open) > 0:
		c.inner(c.open[len(c.open)-1], k.raw)
	default:
		c.out = append(c.out, k.raw...)
	}
}

func (c *markupCopy) inDropped(k *markupToken) {
	if k.kind == markupText && len(c.dropped) < 4*maxValue {
		c.dropped = append(c.dropped, unescape(plainText(k.raw))...)
	}
	if c.dropping += k.depth(); c.dropping == 0 {
		c.endDropped()
	}
}

func (c *markupCopy) endDropped() {
	if c.kind != 0 && len(bytes.Trim(c.dropped, markupSpace+"0")) > 0 {
		c.t.found(c.kind, string(c.dropped), c.where)
	}
}

// depth is how much deeper the next token lies.
func (k *markupToken) depth() int {
	switch {
	case k.kind == markupStart && !k.empty:
		return 1
	case k.kind == markupClose:
		return -1
	}
	return 0
}

// start writes a start tag under the rules: as it stood, if nothing changes.
func (c *markupCopy) start(k *markupToken) {
	changed := false
	keep := k.attrs[:0]
	for _, a := range k.attrs {
		value, stays := c.rules.attr(k, a)
		if !stays {
			changed = true
			continue
		}
		if value != a.text() {
			changed, a.value = true, escape(value)
		}
		keep = append(keep, a)
	}
	k.attrs = keep
	if changed {
		c.out = k.write(c.out)
	} else {
		c.out = append(c.out, k.raw...)
	}
}

// inner writes the text of an element under the rules.
func (c *markupCopy) inner(name string, raw []byte) {
	text := unescape(plainText(raw))
	if now := c.rules.text(name, text); now != text {
		c.out = append(c.out, escape(now)...)
	} else {
		c.out = append(c.out, raw...)
	}
}

// plainText takes the marks of CDATA away.
func plainText(raw []byte) string {
	s, cdata := strings.CutPrefix(string(raw), "<![CDATA[")
	if cdata {
		return escape(strings.TrimSuffix(s, "]]>"))
	}
	return s
}
