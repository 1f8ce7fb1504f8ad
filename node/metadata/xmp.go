package metadata

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
)

// xmpKinds says what a property tells, by its name without a namespace. Others
// are counted.
var xmpKinds = map[string]Kind{
	"creator": Author, "Author": Author, "Artist": Author, "OwnerName": Author, "CameraOwnerName": Author, "rights": Author,
	"Credit": Author, "CaptionWriter": Author, "AuthorsPosition": Author, "CreatorContactInfo": Author, "contributor": Author,
	"LastModifiedBy": LastAuthor, "Company": Company, "publisher": Company,
	"SerialNumber": Serial, "BodySerialNumber": Serial, "LensSerialNumber": Serial,
	"Make": Device, "Model": Device, "Lens": Device, "LensModel": Device,
	"CreatorTool": Software, "Producer": Software, "softwareAgent": Software, "Software": Software,
	"GPSLatitude": Position, "GPSLongitude": Position, "City": Position, "Location": Position, "Country": Position,
	"CreateDate": Time, "ModifyDate": Time, "MetadataDate": Time, "DateCreated": Time, "DateTimeOriginal": Time, "when": Time, "date": Time,
	"DocumentID": Identifier, "InstanceID": Identifier, "OriginalDocumentID": Identifier, "documentID": Identifier, "instanceID": Identifier,
	"title": Title, "description": Title, "subject": Title, "Keywords": Title, "Headline": Title, "filePath": Path, "image": Thumbnail,
}

// xmp reports the properties of a packet of XMP, which is always left out.
func (t *task) xmp(packet []byte, where string) {
	t.found(Hidden, size(len(packet)), where)
	d := xml.NewDecoder(bytes.NewReader(packet))
	d.Strict = false
	var path []string
	for t.value() && len(path) < 1000 {
		token, err := d.RawToken()
		if err != nil {
			return // what could be read was reported
		}
		switch token := token.(type) {
		case xml.StartElement:
			path = append(path, token.Name.Local)
			for _, a := range token.Attr {
				if kind, ok := xmpKinds[a.Name.Local]; ok && t.value() {
					t.found(kind, a.Value, where)
				}
			}
		case xml.EndElement:
			path = path[:max(len(path)-1, 0)]
		case xml.CharData:
			if text := strings.TrimSpace(string(token)); text != "" {
				t.xmpText(path, text, where)
			}
		}
	}
}

// xmpText reports a text under the innermost property that has a kind; lists
// stand between it and its values.
func (t *task) xmpText(path []string, text, where string) {
	for i := len(path) - 1; i >= max(0, len(path)-6); i-- {
		if kind, ok := xmpKinds[path[i]]; ok {
			t.found(kind, text, where)
			return
		}
	}
}

// dateText writes a time as it is shown everywhere here.
func dateText(year, month, day, hour, minute int) string {
	return fmt.Sprintf("%04d-%02d-%02d %02d:%02d", year, month, day, hour, minute)
}
