package communique

import "strings"

// MaxText is the longest text in bytes, its last line feed included.
const MaxText = 1 << 16

// signatureWord begins the last two lines of a file, and so no line of a text.
const signatureWord = "signature "

// CheckText reports whether a text can be signed: UTF-8 in lines that end with one
// line feed, without an empty line at either end, without white space at the end
// of a line, and without any character that changes what the eye sees.
func CheckText(text string) error {
	if text == "" || len(text) > MaxText {
		return ErrTextLength
	}
	if strings.ContainsFunc(text, deceives) { // what is not UTF-8 reads as U+FFFD
		return ErrTextForm
	}
	if text[0] == '\n' || text[len(text)-1] != '\n' || strings.HasSuffix(text, "\n\n") {
		return ErrTextForm
	}
	for line := range strings.Lines(text) {
		if strings.HasSuffix(line, " \n") || strings.HasPrefix(line, signatureWord) {
			return ErrTextForm
		}
	}
	return nil
}

// TidyText brings a text that a person wrote into the form that [CheckText] wants,
// as far as that changes nothing that is read: line endings, tabs, white space at
// the end of lines, empty lines at both ends.
func TidyText(text string) string {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\t", " ").Replace(text)
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return strings.Trim(b.String(), "\n") + "\n"
}

// deceiving lists what is invisible, turns text around, or looks different on
// every machine. It is a list and not a class of Unicode, so that a later version
// of Unicode does not change which files are good. U+200C and U+200D are not in
// it: Persian and the Indic scripts are written with them.
var deceiving = [][2]rune{
	{0x00, 0x09},
	{0x0b, 0x1f},
	{0x7f, 0x9f},
	{0xad, 0xad},
	{0x34f, 0x34f},
	{0x61c, 0x61c},
	{0x115f, 0x1160},
	{0x17b4, 0x17b5},
	{0x180b, 0x180f},
	{0x200b, 0x200b},
	{0x200e, 0x200f},
	{0x2028, 0x202e},
	{0x2060, 0x206f},
	{0x3164, 0x3164},
	{0xe000, 0xf8ff},
	{0xfeff, 0xfeff},
	{0xffa0, 0xffa0},
	{0xfff0, 0xfffd},
	{0xe0000, 0x10ffff},
}

func deceives(r rune) bool {
	for _, d := range deceiving {
		if d[0] <= r && r <= d[1] {
			return true
		}
	}
	return false
}
