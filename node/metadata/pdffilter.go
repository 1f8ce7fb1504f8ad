package metadata

import (
	"bytes"
	"encoding/ascii85"
	"errors"
	"io"
	"strings"
)

// filters lists the codings of a stream, outermost first, each with its
// parameters.
func (f *pdfFile) filters(d pdfDict) (names []pdfName, params []pdfDict) {
	name, parms := f.get(d["Filter"]), f.get(d["DecodeParms"])
	if n, ok := name.(pdfName); ok {
		name, parms = pdfArray{n}, pdfArray{parms}
	}
	list, _ := name.(pdfArray)
	plist, _ := parms.(pdfArray)
	for i, v := range list {
		n, _ := f.get(v).(pdfName)
		names = append(names, n)
		var p pdfDict
		if i < len(plist) {
			p, _ = f.get(plist[i]).(pdfDict)
		}
		params = append(params, p)
	}
	return names, params
}

// unfilter unpacks a stream.
func (f *pdfFile) unfilter(s pdfStream) (string, error) {
	names, params := f.filters(s.dict)
	b, left, err := f.unfilterTo(s, names, params)
	if err == nil && len(left) > 0 {
		err = errPDF
	}
	return b, err
}

// unfilterTo takes off the codings that are known here, and returns those left.
func (f *pdfFile) unfilterTo(s pdfStream, names []pdfName, params []pdfDict) (string, []pdfName, error) {
	b := s.raw
	if len(names) > 8 || s.dict["F"] != nil {
		return "", nil, errPDF
	}
	for i, name := range names {
		var err error
		switch name {
		case "FlateDecode", "Fl":
			var plain []byte
			plain, err = f.t.unzlib([]byte(b))
			if err != nil && !errors.Is(err, errSpent) && len(plain) > 0 {
				err = nil // a bad checksum at the end is what many writers leave
			}
			if err == nil {
				b, err = f.unpredict(string(plain), params[i])
			}
		case "ASCIIHexDecode", "AHx":
			digits, _, _ := strings.Cut(b, ">")
			plain, ok := unhex(digits)
			if !ok {
				err = errPDF
			}
			b = string(plain)
		case "ASCII85Decode", "A85":
			var plain []byte
			text, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimLeft(b, pdfSpace), "<~"), "~>")
			plain, err = f.t.unpack(ascii85.NewDecoder(strings.NewReader(text)))
			b = string(plain)
		default:
			return b, names[i:], nil
		}
		if err != nil {
			return "", nil, err
		}
	}
	return b, nil, nil
}

// unpredict undoes the prediction of rows, which tables of objects use.
func (f *pdfFile) unpredict(b string, p pdfDict) (string, error) {
	predictor, _ := number(f.get(p["Predictor"]))
	if predictor <= 1 {
		return b, nil
	}
	number := func(key pdfName, usual int) int {
		if n, ok := number(f.get(p[key])); ok {
			return n
		}
		return usual
	}
	colors, bits, columns := number("Colors", 1), number("BitsPerComponent", 8), number("Columns", 1)
	if predictor < 10 || colors < 1 || colors > 32 || bits < 1 || bits > 16 || columns < 1 || columns > 1<<20 {
		return "", errPDF
	}
	bpp, row := (colors*bits+7)/8, (colors*bits*columns+7)/8
	var out bytes.Buffer
	previous, current := make([]byte, row), make([]byte, row)
	for r := strings.NewReader(b); r.Len() > 0; {
		kind, _ := r.ReadByte()
		if n, err := io.ReadFull(r, current); err != nil {
			clear(current[n:])
		}
		if kind > 4 {
			return "", errPDF
		}
		unpredictRow(kind, current, previous, bpp)
		out.Write(current)
		previous, current = current, previous
	}
	return out.String(), nil
}

// unpredictRow undoes one of PNG's five predictions.
func unpredictRow(kind byte, cur, prev []byte, bpp int) {
	for i := range cur {
		var left, corner byte
		if i >= bpp {
			left, corner = cur[i-bpp], prev[i-bpp]
		}
		switch up := prev[i]; kind {
		case 1:
			cur[i] += left
		case 2:
			cur[i] += up
		case 3:
			cur[i] += byte((int(left) + int(up)) / 2)
		case 4:
			cur[i] += paeth(int(left), int(up), int(corner))
		}
	}
}

func paeth(a, b, c int) byte {
	distance := func(x int) int { return max(a+b-c-x, x-a-b+c) }
	switch pa, pb, pc := distance(a), distance(b), distance(c); {
	case pa <= pb && pa <= pc:
		return byte(a)
	case pb <= pc:
		return byte(b)
	}
	return byte(c)
}
