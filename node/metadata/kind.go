package metadata

// A Kind says what a finding is about.
type Kind byte

// The kinds.
const (
	Author      Kind = 1 + iota // who made it, owns it or is named as its author
	LastAuthor                  // who changed it last
	Company                     // for whom
	Position                    // where a picture was taken
	Serial                      // of a camera or a lens
	Device                      // camera, telephone, scanner, host computer
	Software                    // program, and often its version and system
	Time                        // when made, changed, printed or packed
	Comment                     // said beside the content
	Title                       // title, subject, description, keywords
	Identifier                  // numbers that tie copies or versions together
	Path                        // folders of a machine, often with a user's name
	Printer                     // name or settings of a printer
	Thumbnail                   // a small copy, often of an earlier state
	History                     // older versions, deleted parts, how it was edited
	Attachment                  // files carried along
	Signature                   // digital signatures and the names in them
	Profile                     // colour profile that may name a screen
	Hidden                      // data that nothing shows
	Account                     // user number on a machine
	Invisible                   // characters without width, which can mark a copy
	Name                        // name in an archive
	Uncleanable                 // a file inside that cannot be cleaned
)

var kindNames = [...]string{
	Author: "author", LastAuthor: "last modified by", Company: "company", Position: "GPS position",
	Serial: "serial number", Device: "camera or device", Software: "software", Time: "date and time",
	Comment: "comment", Title: "title or description", Identifier: "identifier", Path: "path on a machine",
	Printer: "printer", Thumbnail: "thumbnail", History: "older version or editing history",
	Attachment: "attached file", Signature: "digital signature", Profile: "colour profile",
	Hidden: "data that is not shown", Account: "user number", Invisible: "invisible characters",
	Name: "name in the archive", Uncleanable: "file inside that cannot be cleaned",
}

// String returns the kind in words, as a heading in lower case.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return "no kind"
}

// A Format is a format of files.
type Format byte

// The formats. From JPEG to Empty a cleaned copy can be made; the others are
// recognized so that they can be named.
const (
	Unknown Format = iota
	JPEG
	PNG
	GIF
	PDF
	OfficeXML    // docx, xlsx, pptx and their templates
	OpenDocument // odt, ods, odp and their templates
	ZIP
	Text // UTF-8
	Empty
	TIFF // also the raw files of many cameras
	HEIF // HEIC, AVIF
	MP4  // also MOV, M4A, 3GP
	WebP
	OLE // doc, xls, ppt, msg, and encrypted docx
	MP3
	SVG
	HTML
	XML
	RTF
	EPUB
	Compressed // rar, 7z, tar, gzip, bzip2, xz, zstd
	Audio      // wav, ogg, flac
	Video      // avi, mkv, webm
	Program
)

var formatNames = [...]string{
	Unknown: "unknown", JPEG: "JPEG", PNG: "PNG", GIF: "GIF", PDF: "PDF", OfficeXML: "Office document",
	OpenDocument: "OpenDocument", ZIP: "ZIP archive", Text: "plain text", Empty: "empty", TIFF: "TIFF or camera raw",
	HEIF: "HEIC", MP4: "MP4 or MOV", WebP: "WebP", OLE: "old Office document", MP3: "MP3", SVG: "SVG", HTML: "web page",
	XML: "XML", RTF: "RTF", EPUB: "EPUB", Compressed: "archive", Audio: "sound", Video: "video", Program: "program",
}

// String returns the format's name.
func (f Format) String() string {
	if int(f) < len(formatNames) {
		return formatNames[f]
	}
	return "no format"
}

// why says why a format has no cleaned copy.
func (f Format) why() string {
	const here = "; this program cannot clean it"
	switch f {
	case TIFF, HEIF, WebP:
		return "a picture of this format usually holds the camera and often the GPS position" + here + " (save it as PNG or JPEG and send that)"
	case MP4, Video:
		return "a recording of this format often holds the device, the time and the GPS position" + here
	case MP3, Audio:
		return "a recording of this format can hold names, software and comments" + here
	case OLE:
		return "an old or encrypted Office document usually holds its author and who saved it last" + here + " (save it as docx, xlsx or pptx without a password)"
	case SVG, HTML, XML:
		return "it is a text with markup that can hold names and paths which are not shown" + here + " (look at it in a text editor)"
	case RTF:
		return "an RTF document usually holds its author and who saved it last" + here + " (save it as docx or PDF)"
	case EPUB:
		return "a book of this format names its author and its program" + here
	case Compressed:
		return "an archive of this format holds names, times and often the user who packed it" + here + " (pack it as ZIP)"
	case Program:
		return "a program can hold the paths and names of whoever built it" + here
	default:
		return "this format is not known here, so nobody looked at what it holds; look yourself"
	}
}
