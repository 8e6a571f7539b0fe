package file

import (
	"bytes"
	"net/http"
	"strings"
)

// SniffedBytes is how much of a file Matches looks at.
const SniffedBytes = 512

// maxContentType bounds a media type (RFC 6838 section 4.2).
const maxContentType = 127

// ParseContentType takes a media type without parameters, in lower case (RFC 6838
// section 4.2).
func ParseContentType(declared string) (string, error) {
	kind, subtype, found := strings.Cut(declared, "/")
	if !found || len(declared) > maxContentType || !restrictedName(kind) || !restrictedName(subtype) {
		return "", &InvalidError{Problem: "A media type looks like application/pdf, in lower case and without parameters"}
	}
	return declared, nil
}

func restrictedName(name string) bool {
	for i, r := range name {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
		case i > 0 && strings.ContainsRune("!#$&-^_.+", r):
		default:
			return false
		}
	}
	return name != ""
}

// Matches tells whether content that begins with head may be of the declared
// type. The rule:
//
//   - text/* has to be text: no bytes that only binary data has.
//   - application/pdf has to begin as a PDF does.
//   - image/* has to be that very kind of picture where its beginning is known
//     (PNG, JPEG, GIF, WebP, BMP, ICO, TIFF, and AVIF and HEIC by their container);
//     SVG has to be text with an svg element that comes before anything of HTML's.
//     A kind that is not known has to be binary and nothing else that is known: what
//     calls itself a picture is never a page.
//   - anything else may be anything: it is served as an attachment all the same.
//
// What is known of beginnings is the WHATWG's MIME sniffing, as net/http has it.
func Matches(declared string, head []byte) bool {
	sniffed, _, _ := strings.Cut(http.DetectContentType(head), ";")
	kind, subtype, _ := strings.Cut(declared, "/")
	switch {
	case kind == "text":
		return isText(sniffed)
	case declared == "application/pdf":
		return sniffed == declared
	case kind == "image":
		return picture(subtype, sniffed, head)
	}
	return true
}

func isText(sniffed string) bool { return strings.HasPrefix(sniffed, "text/") }

func picture(subtype, sniffed string, head []byte) bool {
	switch subtype {
	case "png", "jpeg", "gif", "webp", "bmp":
		return sniffed == "image/"+subtype
	case "jpg", "pjpeg":
		return sniffed == "image/jpeg"
	case "apng", "vnd.mozilla.apng":
		return sniffed == "image/png"
	case "x-ms-bmp", "x-bmp":
		return sniffed == "image/bmp"
	case "x-icon", "vnd.microsoft.icon":
		return sniffed == "image/x-icon"
	case "tiff", "tiff-fx":
		return bytes.HasPrefix(head, []byte("II*\x00")) || bytes.HasPrefix(head, []byte("MM\x00*"))
	case "avif", "avif-sequence", "heic", "heic-sequence", "heif", "heif-sequence":
		return len(head) >= 12 && string(head[4:8]) == "ftyp" // ISO/IEC 14496-12 section 4.3
	case "svg+xml":
		return isText(sniffed) && sniffed != "text/html" && svg(head)
	}
	return sniffed == "application/octet-stream"
}

// svg tells whether the first element is an svg one.
func svg(head []byte) bool {
	rest := bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
	for {
		rest = bytes.TrimLeft(rest, " \t\r\n")
		var end string
		switch {
		case bytes.HasPrefix(rest, []byte("<!--")):
			end = "-->"
		case bytes.HasPrefix(rest, []byte("<?")):
			end = "?>"
		case bytes.HasPrefix(rest, []byte("<!DOCTYPE svg")):
			end = ">"
		default:
			after, is := bytes.CutPrefix(rest, []byte("<svg"))
			return is && (len(after) == 0 || bytes.IndexByte([]byte(" \t\r\n>/"), after[0]) >= 0)
		}
		_, after, found := bytes.Cut(rest, []byte(end))
		if !found {
			return false
		}
		rest = after
	}
}

// ServedAs is the type that a file is handed to a browser as: the declared one,
// but nothing that a browser could run in the name of the storage's site.
func ServedAs(declared string) string {
	for _, runnable := range []string{"html", "xml", "svg", "xsl", "script", "multipart/", "message/", "mimearchive", "flash"} {
		if strings.Contains(declared, runnable) {
			return "application/octet-stream"
		}
	}
	return declared
}

// Disposition is the Content-Disposition with which a file is served: saved, not
// shown, under its name (RFC 6266), with a plain one for old clients (RFC 6266
// appendix D).
func Disposition(name string) string {
	var plain, extended strings.Builder
	for _, r := range name {
		if r < ' ' || r > '~' || strings.ContainsRune(`"\%`, r) {
			r = '_'
		}
		plain.WriteRune(r)
	}
	const hexadecimal = "0123456789ABCDEF"
	for _, b := range []byte(name) {
		// attr-char (RFC 8187 section 3.2.1)
		if 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || strings.IndexByte("!#$&+-.^_`|~", b) >= 0 {
			extended.WriteByte(b)
		} else {
			extended.Write([]byte{'%', hexadecimal[b>>4], hexadecimal[b&15]})
		}
	}
	return `attachment; filename="` + plain.String() + `"; filename*=UTF-8''` + extended.String()
}
