package metadata_test

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backchannel/backchannel/node/metadata"
)

// A member is one entry of an archive that a test writes.
type member struct {
	name, content string
	stored        bool
}

// archived writes an archive as programs do: with times, users and comments.
func archived(t testing.TB, comment string, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, m := range members {
		h := &zip.FileHeader{Name: m.name, Method: zip.Deflate}
		if m.stored {
			h.Method = zip.Store
		} else {
			h.Modified = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
			h.Comment = comment
			h.Extra = []byte("ux\x0b\x00\x01\x04\xE8\x03\x00\x00\x04\xE9\x03\x00\x00")
			h.SetMode(0o640)
		}
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, m.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.SetComment(comment); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// members reads an archive with the standard library, and every part of it that
// is XML.
func members(t *testing.T, file []byte) map[string]string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatalf("the copy does not open: %v", err)
	}
	all := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		all[f.Name] = string(b)
		if len(f.Extra) > 0 || f.Comment != "" || f.ModifiedTime != 0 || f.ModifiedDate != 0x21 || f.ExternalAttrs != 0 {
			t.Errorf("%s has a time, a comment, an owner or an extra field", f.Name)
		}
		if !strings.HasSuffix(f.Name, ".xml") && !strings.HasSuffix(f.Name, ".rels") {
			continue
		}
		for d := xml.NewDecoder(bytes.NewReader(b)); ; {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Errorf("%s is no XML any more: %v\n%s", f.Name, err, b)
				break
			}
		}
	}
	return all
}

const (
	xmlHead = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>`
	wordNS  = ` xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"`
	relsNS  = ` xmlns="http://schemas.openxmlformats.org/package/2006/relationships"`
	relType = `http://schemas.openxmlformats.org/officeDocument/2006/relationships/`
	typeApp = `application/vnd.openxmlformats-officedocument.`
)

// wordParts is a document of Word with everything planted.
func wordParts(t testing.TB) []member {
	t.Helper()
	return []member{
		{name: "[Content_Types].xml", content: xmlHead + `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Default Extension="jpeg" ContentType="image/jpeg"/><Override PartName="/word/document.xml" ContentType="` + typeApp + `wordprocessingml.document.main+xml"/><Override PartName="/word/comments.xml" ContentType="` + typeApp + `wordprocessingml.comments+xml"/><Override PartName="/word/settings.xml" ContentType="` + typeApp + `wordprocessingml.settings+xml"/><Override PartName="/customXml/item1.xml" ContentType="application/xml"/><Override PartName="/docProps/core.xml" ContentType="application/vnd.openxmlformats-package.core-properties+xml"/><Override PartName="/docProps/app.xml" ContentType="` + typeApp + `extended-properties+xml"/><Override PartName="/docProps/custom.xml" ContentType="` + typeApp + `custom-properties+xml"/></Types>`},
		{name: "_rels/.rels", content: xmlHead + `<Relationships` + relsNS + `><Relationship Id="rId1" Type="` + relType + `officeDocument" Target="word/document.xml"/><Relationship Id="rId2" Type="http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties" Target="docProps/core.xml"/><Relationship Id="rId3" Type="` + relType + `extended-properties" Target="docProps/app.xml"/><Relationship Id="rId4" Type="` + relType + `custom-properties" Target="docProps/custom.xml"/><Relationship Id="rId5" Type="http://schemas.openxmlformats.org/package/2006/relationships/metadata/thumbnail" Target="docProps/thumbnail.jpeg"/></Relationships>`},
		{name: "docProps/core.xml", content: xmlHead + `<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/"><dc:creator>` + author + ` &amp; co</dc:creator><cp:lastModifiedBy>` + author + ` the last</cp:lastModifiedBy><dc:title>` + remark + `</dc:title><cp:revision>17</cp:revision><dcterms:created>2024-05-06T07:08:09Z</dcterms:created></cp:coreProperties>`},
		{name: "docProps/app.xml", content: xmlHead + `<Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/extended-properties"><Template>C:\Users\` + author + `\t.dotx</Template><Company>` + author + ` Ltd</Company><Manager>` + author + ` the manager</Manager><Application>Scribe</Application></Properties>`},
		{name: "docProps/custom.xml", content: xmlHead + `<Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/custom-properties" xmlns:vt="v"><property fmtid="{}" pid="2" name="Serial"><vt:lpwstr>` + serial + `</vt:lpwstr></property></Properties>`},
		{name: "docProps/thumbnail.jpeg", content: string(plantedPlain(plainJPEG(t)))},
		{name: "customXml/item1.xml", content: `<a>` + author + `</a>`},
		{name: "word/_rels/document.xml.rels", content: xmlHead + `<Relationships` + relsNS + `><Relationship Id="rId1" Type="` + relType + `comments" Target="comments.xml"/><Relationship Id="rId2" Type="` + relType + `settings" Target="settings.xml"/><Relationship Id="rId3" Type="` + relType + `image" Target="media/image1.jpeg"/><Relationship Id="rId4" Type="` + relType + `customXml" Target="../customXml/item1.xml"/><Relationship Id="rId5" Type="` + relType + `hyperlink" Target="file:///C:/Users/` + author + `/other.docx" TargetMode="External"/><Relationship Id="rId6" Type="` + relType + `hyperlink" Target="https://example.org/home/page/x" TargetMode="External"/></Relationships>`},
		{name: "word/_rels/settings.xml.rels", content: xmlHead + `<Relationships` + relsNS + `><Relationship Id="rId1" Type="` + relType + `attachedTemplate" Target="file:///C:/Users/` + author + `/t.dotx" TargetMode="External"/></Relationships>`},
		{name: "word/settings.xml", content: xmlHead + `<w:settings` + wordNS + `><w:zoom w:percent="100"/><w:attachedTemplate r:id="rId1"/><w:rsids><w:rsidRoot w:val="00A77Q1B"/><w:rsid w:val="00A77Q1B"/></w:rsids></w:settings>`},
		{name: "word/comments.xml", content: xmlHead + `<w:comments` + wordNS + `><w:comment w:id="0" w:author="` + author + ` of comments" w:date="2024-05-06T07:08:09Z" w:initials="QF"><w:p><w:r><w:t>a remark</w:t></w:r></w:p></w:comment></w:comments>`},
		{name: "word/media/image1.jpeg", content: string(plantedJPEG(t, le))},
		{name: "word/document.xml", content: xmlHead + `<w:document` + wordNS + `><!-- ` + author + ` --><w:body><w:p w:rsidR="00A77Q1B" w:rsidRDefault="00A77Q1B"><w:r><w:t xml:space="preserve">What everybody sees &lt; here </w:t></w:r><w:ins w:id="1" w:author="` + author + ` who inserts" w:date="2024-05-06T07:08:09Z"><w:r><w:t>inserted</w:t></w:r></w:ins><w:del w:id="2" w:author="` + author + `" w:date="2024-05-06T07:08:09Z"><w:r><w:delText>deleted</w:delText></w:r></w:del><w:r><w:instrText> INCLUDEPICTURE "C:\\Users\\` + author + `\\p.jpg" </w:instrText></w:r></w:p></w:body></w:document>`},
	}
}

func TestWord(t *testing.T) {
	file := archived(t, author+" packed it", wordParts(t)...)
	out := cleaned(t, file, metadata.OfficeXML,
		plant{metadata.Author, author + " & co"}, plant{metadata.LastAuthor, author + " the last"}, plant{metadata.Title, remark}, plant{metadata.History, "17"},
		plant{metadata.Company, author + " Ltd"}, plant{metadata.Author, author + " the manager"}, plant{metadata.Software, "Scribe"},
		plant{metadata.Path, author}, plant{metadata.Identifier, serial}, plant{metadata.Thumbnail, ""}, plant{metadata.Author, author + " of comments"},
		plant{metadata.Author, author + " who inserts"}, plant{metadata.Author, "QF"}, plant{metadata.Position, "52.52743"}, plant{metadata.Serial, serial},
		plant{metadata.Comment, author + " packed it"}, plant{metadata.Account, "1000:1001"}, plant{metadata.Time, "2024-05-06"}, plant{metadata.Identifier, "editing sessions"},
		plant{metadata.Comment, author})
	parts := members(t, out)
	for _, gone := range []string{"docProps/thumbnail.jpeg", "customXml/item1.xml"} {
		for name, content := range parts {
			if name == gone || strings.Contains(content, filepath.Base(gone)) {
				t.Errorf("%s still has or names %s", name, gone)
			}
		}
	}
	document := parts["word/document.xml"]
	for _, stays := range []string{"What everybody sees &lt; here ", `<w:ins w:id="1" w:author="Author">`, "INCLUDEPICTURE", "deleted"} {
		if !strings.Contains(document, stays) {
			t.Errorf("the document lost %q:\n%s", stays, document)
		}
	}
	if rels := parts["word/_rels/document.xml.rels"]; !strings.Contains(rels, "https://example.org/home/page/x") || !strings.Contains(rels, `Target="other.docx"`) {
		t.Errorf("links are broken: %s", rels)
	}
	samePixels(t, []byte(wordParts(t)[11].content), []byte(parts["word/media/image1.jpeg"]))
	opensOffice(t, out, "docx")
}

// TestSheetAndSlides has what only spreadsheets and presentations have.
func TestSheetAndSlides(t *testing.T) {
	file := archived(t, "", []member{
		{name: "[Content_Types].xml", content: `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>`},
		{name: "xl/workbook.xml", content: `<workbook xmlns:mc="m" xmlns:x15ac="x"><fileSharing userName="` + author + `"/><mc:AlternateContent><mc:Choice><x15ac:absPath url="C:\Users\` + author + `\"/></mc:Choice></mc:AlternateContent></workbook>`},
		{name: "xl/comments1.xml", content: `<comments><authors><author>` + author + ` of cells</author></authors></comments>`},
		{name: "xl/persons/person.xml", content: `<personList><person displayName="` + author + ` threaded" id="{1}" userId="` + serial + `" providerId="AD"/></personList>`},
		{name: "xl/pivotCache/pivotCacheDefinition1.xml", content: `<pivotCacheDefinition refreshedBy="` + author + ` of pivots" refreshedDate="45000.1"/>`},
		{name: "xl/worksheets/sheet1.xml", content: `<worksheet xmlns:r="r"><pageSetup orientation="portrait" r:id="rId1"/></worksheet>`},
		{name: "xl/worksheets/_rels/sheet1.xml.rels", content: `<Relationships><Relationship Id="rId1" Type="x/printerSettings" Target="../printerSettings/printerSettings1.bin"/></Relationships>`},
		{name: "xl/printerSettings/printerSettings1.bin", content: string(inUTF16(author+"-LaserJet", le)) + "\x00\x00\x01"},
		{name: "ppt/commentAuthors.xml", content: `<p:cmAuthorLst xmlns:p="p"><p:cmAuthor id="1" name="` + author + ` of slides" initials="QF"/></p:cmAuthorLst>`},
		{name: "word/people.xml", content: `<w15:people xmlns:w15="w"><w15:person w15:author="` + author + ` of people"><w15:presenceInfo w15:providerId="AD" w15:userId="S::` + author + `"/></w15:person></w15:people>`},
	}...)
	out := cleaned(t, file, metadata.OfficeXML, plant{metadata.Author, author}, plant{metadata.Path, `C:\Users\`}, plant{metadata.Author, author + " of cells"},
		plant{metadata.Author, author + " threaded"}, plant{metadata.Account, serial}, plant{metadata.Author, author + " of pivots"},
		plant{metadata.Printer, author + "-LaserJet"}, plant{metadata.Author, author + " of slides"}, plant{metadata.Author, author + " of people"})
	parts := members(t, out)
	if strings.Contains(parts["xl/worksheets/sheet1.xml"]+parts["xl/worksheets/_rels/sheet1.xml.rels"], "rId1") {
		t.Error("the sheet still asks for its printer")
	}
}

// openParts is a text of OpenDocument with everything planted.
func openParts(t testing.TB) []member {
	t.Helper()
	const ns = ` xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:meta="urn:oasis:names:tc:opendocument:xmlns:meta:1.0" xmlns:config="urn:oasis:names:tc:opendocument:xmlns:config:1.0" xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0" xmlns:officeooo="http://openoffice.org/2009/office" xmlns:style="urn:oasis:names:tc:opendocument:xmlns:style:1.0" office:version="1.2"`
	return []member{
		{name: "mimetype", content: "application/vnd.oasis.opendocument.text", stored: true},
		{name: "META-INF/manifest.xml", content: xmlHead + `<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0" manifest:version="1.2"><manifest:file-entry manifest:full-path="/" manifest:version="1.2" manifest:media-type="application/vnd.oasis.opendocument.text"/><manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"/><manifest:file-entry manifest:full-path="meta.xml" manifest:media-type="text/xml"/><manifest:file-entry manifest:full-path="settings.xml" manifest:media-type="text/xml"/><manifest:file-entry manifest:full-path="Thumbnails/thumbnail.png" manifest:media-type="image/png"/><manifest:file-entry manifest:full-path="Pictures/p.jpg" manifest:media-type="image/jpeg"/></manifest:manifest>`},
		{name: "meta.xml", content: xmlHead + `<office:document-meta` + ns + `><office:meta><meta:initial-creator>` + author + ` the first</meta:initial-creator><dc:creator>` + author + `</dc:creator><meta:generator>Scribe/7</meta:generator><dc:date>2024-05-06T07:08:09</dc:date><meta:printed-by>` + author + `</meta:printed-by><meta:editing-cycles>17</meta:editing-cycles><meta:template xlink:href="/home/` + author + `/t.ott"/><meta:user-defined meta:name="Serial">` + serial + `</meta:user-defined></office:meta></office:document-meta>`},
		{name: "settings.xml", content: xmlHead + `<office:document-settings` + ns + `><office:settings><config:config-item-set config:name="ooo:configuration-settings"><config:config-item config:name="PrinterName" config:type="string">` + author + `-LaserJet</config:config-item><config:config-item config:name="LinkUpdateMode" config:type="short">1</config:config-item></config:config-item-set></office:settings></office:document-settings>`},
		{name: "content.xml", content: xmlHead + `<office:document-content` + ns + `><office:automatic-styles><style:style style:name="P1" style:family="paragraph"><style:text-properties officeooo:rsid="00a77b1c"/></style:style></office:automatic-styles><office:body><office:text><text:p text:style-name="P1">What everybody sees<office:annotation><dc:creator>` + author + ` of notes</dc:creator><dc:date>2024-05-06T07:08:09</dc:date><meta:creator-initials>QF</meta:creator-initials><text:p>a remark</text:p></office:annotation></text:p></office:text></office:body></office:document-content>`},
		{name: "Thumbnails/thumbnail.png", content: string(plantedPNG(t))},
		{name: "Pictures/p.jpg", content: string(plantedJPEG(t, le))},
	}
}

func TestOpenDocument(t *testing.T) {
	file := archived(t, "", openParts(t)...)
	out := cleaned(t, file, metadata.OpenDocument, plant{metadata.Author, author + " the first"}, plant{metadata.Author, author + " of notes"},
		plant{metadata.Software, "Scribe/7"}, plant{metadata.Time, "2024-05-06T07:08:09"}, plant{metadata.History, "17"}, plant{metadata.Path, "/home/" + author},
		plant{metadata.Identifier, serial}, plant{metadata.Printer, author + "-LaserJet"}, plant{metadata.Thumbnail, ""}, plant{metadata.Position, "52.52743"},
		plant{metadata.Author, "QF"}, plant{metadata.Identifier, "editing sessions"})
	parts := members(t, out)
	if !bytes.HasPrefix(out[30:], []byte("mimetypeapplication/vnd.oasis.opendocument.text")) {
		t.Error("the type is not first, or it is packed")
	}
	if strings.Contains(parts["META-INF/manifest.xml"], "Thumbnails") || !strings.Contains(parts["settings.xml"], "LinkUpdateMode") {
		t.Errorf("the list of parts or the settings are wrong: %q", parts)
	}
	if !strings.Contains(parts["content.xml"], "What everybody sees") {
		t.Error("the text is gone")
	}
	opensOffice(t, out, "odt")
}

func TestDocumentCannot(t *testing.T) {
	word := wordParts(t)
	cannotClean(t, archived(t, "", append(word, member{name: "word/vbaProject.bin", content: "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1macro"})...), "inside")
	cannotClean(t, archived(t, "", append(word, member{name: "word/x.xml", content: "<!DOCTYPE a [<!ENTITY b 'c'>]><a/>"})...), "damaged")
	cannotClean(t, archived(t, "", append(word, member{name: "word/x.xml", content: "\xFF\xFE<\x00a\x00/\x00>\x00"})...), "inside")
	open := openParts(t)
	open[1].content = strings.Replace(open[1].content, `media-type="text/xml"/>`, `media-type="text/xml"><manifest:encryption-data/></manifest:file-entry>`, 1)
	cannotClean(t, archived(t, "", open...), "encrypted")
}

// opensOffice lets an office program read a copy, where there is one.
func opensOffice(t *testing.T, file []byte, ext string) {
	t.Helper()
	if testing.Short() {
		t.Skip("an office program takes long to start")
	}
	if _, err := exec.LookPath("soffice"); err != nil {
		t.Log("soffice is not here: the copy is not opened with it")
		return
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "copy."+ext)
	if err := os.WriteFile(name, file, 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, "soffice", "-env:UserInstallation=file://"+dir+"/profile", "--headless", "--convert-to", "txt:Text", "--outdir", dir, name)
	text, err := os.ReadFile(filepath.Join(dir, "copy.txt"))
	if err != nil || !strings.Contains(string(text), "What everybody sees") {
		t.Errorf("the office program reads %q: %v", text, err)
	}
}
